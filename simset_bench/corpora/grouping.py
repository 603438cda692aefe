"""Groups the text of articles into documents."""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby

from simset_bench.corpora.documents import Article, Document, Paragraph
from simset_bench.errors import RequestError, unknown_name

Group = Callable[[Iterable[Article]], Iterator[Document]]


def by_article(articles: Iterable[Article]) -> Iterator[Document]:
    """Each article is a document."""
    for article in articles:
        yield _document(article.id, article.title, article.topic, article.paragraphs)


def by_paragraphs(articles: Iterable[Article], together: int) -> Iterator[Document]:
    """Each run of `together` paragraphs of an article is a document; its id is the article's with `#` and a number."""
    for article in articles:
        starts = range(0, len(article.paragraphs), together)
        for number, start in enumerate(starts):
            chosen = article.paragraphs[start : start + together]
            yield _document(f"{article.id}#{number}", article.title, article.topic, chosen)


def by_section(articles: Iterable[Article]) -> Iterator[Document]:
    """Each section of an article is a document; its id is the article's with `#` and a number.

    Wikitext and mediawiki corpora have sections. An article of another corpus is one section.
    """
    for article in articles:
        sections = groupby(article.paragraphs, key=lambda paragraph: paragraph.section)
        for number, (heading, paragraphs) in enumerate(sections):
            title = f"{article.title}: {heading}" if heading else article.title
            yield _document(f"{article.id}#{number}", title, article.topic, tuple(paragraphs))


def by_topic(articles: Iterable[Article]) -> Iterator[Document]:
    """All articles of a topic are one document, in the order in which topics first appear.

    Raises RequestError for an article without a topic.
    """
    topics: dict[str, list[Paragraph]] = {}
    for article in articles:
        if not article.topic:
            raise RequestError(
                f"--group-by topic: {article.origin} has no topic (vital has topics, jsonl and parquet files may)"
            )
        topics.setdefault(article.topic, []).extend(article.paragraphs)
    for topic, paragraphs in topics.items():
        yield _document(topic, topic, topic, tuple(paragraphs))


def find_grouping(name: str) -> Group:
    """The function for `article`, `section`, `paragraph`, `paragraphs:N` or `topic`.

    Raises RequestError for another name.
    """
    kind, _, count = name.partition(":")
    if kind == "paragraphs":
        if not count.isdecimal() or int(count) < 1:
            raise RequestError(f"--group-by {name!r}: paragraphs:N takes a whole number N of at least 1")
        return lambda articles: by_paragraphs(articles, int(count))
    groupings: dict[str, Group] = {
        "article": by_article,
        "section": by_section,
        "paragraph": lambda articles: by_paragraphs(articles, 1),
        "topic": by_topic,
    }
    if name not in groupings:
        raise unknown_name("--group-by", name, [*groupings, "paragraphs:N"])
    return groupings[name]


def _document(identity: str, title: str, topic: str | None, paragraphs: tuple[Paragraph, ...]) -> Document:
    text = "\n\n".join(paragraph.text for paragraph in paragraphs)
    questions = tuple(question for paragraph in paragraphs for question in paragraph.questions)
    facts = tuple(fact for paragraph in paragraphs for fact in paragraph.facts)
    return Document(identity, title, text, topic, questions, facts)
