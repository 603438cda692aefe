"""Records of a corpus that cannot be used, beside the articles that can."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from simset_bench.corpora.documents import Article
from simset_bench.errors import RequestError
from simset_bench.files import write_text

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


class Quarantine:
    """The malformed records of a corpus on its way to `output`; they lie in `OUTPUT.quarantine.jsonl`.

    A line holds `origin`, `reason` and `text`, the record as it begins. The file is there only if a record is.
    """

    def __init__(self, output: Path, max_bad: int) -> None:
        if max_bad < 0:
            raise RequestError(f"--max-bad {max_bad}: must be at least 0")
        self.path = output.with_name(output.name + ".quarantine.jsonl")
        self.records: list[dict[str, str]] = []
        self._max_bad = max_bad

    def add(self, bad: BadRecord) -> None:
        """Set a record aside. Raises RequestError where that is one too many; the file then says which all were."""
        self.extend([{"origin": bad.origin, "reason": bad.reason, "text": bad.raw}])

    def extend(self, records: Iterable[dict[str, str]]) -> None:
        """Set records aside, as `add` does one."""
        self.records += records
        if len(self.records) > self._max_bad:
            self.close()
            first = self.records[0]
            found = f"{first['origin']}: {first['reason']}"
            if len(self.records) == 1:
                raise RequestError(f"{found} (--max-bad N would set up to N such records aside)")
            raise RequestError(
                f"{len(self.records)} malformed records are more than --max-bad {self._max_bad}; "
                f"they are in {self.path}, the first is {found}"
            )

    def close(self) -> None:
        """Write the file, or remove an earlier one where no record is malformed."""
        if self.records:
            write_text(self.path, "".join(json.dumps(record, ensure_ascii=True) + "\n" for record in self.records))
        else:
            self.path.unlink(missing_ok=True)
