"""`people[:KEY=VALUE,...]`: people who do not exist, of whom every fact is known."""

from collections.abc import Iterator

from simset_bench.corpora.documents import Article
from simset_bench.corpora.people.generate import article, people
from simset_bench.corpora.people.options import parse_people


def people_articles(location: str, start: int = 0, stop: int | None = None) -> Iterator[Article]:
    """The articles of a corpus of invented people, or those from place `start` to before `stop` of it.

    Raises RequestError for a location that is not `KEY=VALUE,...` with the keys and values of `PeopleOptions`.
    """
    options = parse_people(location)
    for one in people(options, start, stop):
        yield article(options, one)
