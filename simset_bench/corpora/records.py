"""Records of a corpus that cannot be used, beside the articles that can."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from simset_bench.corpora.articles import Article
from simset_bench.errors import RequestError

# Characters of a bad record that are kept for whoever looks at it.
MOST_RAW = 2000


@dataclass(frozen=True)
class BadRecord:
    """One malformed record: where it stands, what is wrong with it, and its beginning as it was found."""

    origin: str
    reason: str
    raw: str = ""


Record = Article | BadRecord


def good_articles(records: Iterable[Record], on_bad: Callable[[BadRecord], None]) -> Iterator[Article]:
    """The articles among records; bad ones go to `on_bad`, in their order."""
    for record in records:
        if isinstance(record, BadRecord):
            on_bad(record)
        else:
            yield record


def refuse(bad: BadRecord) -> None:
    """Raise RequestError for a bad record, where none is allowed."""
    raise RequestError(f"{bad.origin}: {bad.reason}")


def flaw(article: Article) -> str | None:
    """What makes an article unusable: no text, or half of a surrogate pair; None for a sound one."""
    if not article.paragraphs:
        return f"article {article.id!r} has no text"
    for text in (article.id, article.title, article.topic or "", *(part.text for part in article.paragraphs)):
        # JSON can spell half a surrogate pair, at which tokenizers and Parquet stop much later.
        if not is_encodable(text):
            return "undecodable, half of a surrogate pair such as \\ud83d"
    return None


def is_encodable(text: str) -> bool:
    """Whether UTF-8 can hold a text: it has no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
