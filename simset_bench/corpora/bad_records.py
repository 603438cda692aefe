"""Malformed records of a corpus, and where they are set aside."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from simset_bench.corpora.documents import Article
from simset_bench.errors import RequestError
from simset_bench.files import write_text

# Characters of a malformed record that are kept, to show what it was.
MOST_RAW = 2000


@dataclass(frozen=True)
class BadRecord:
    """One malformed record: where it stands, what is wrong with it, and how it begins."""

    origin: str
    reason: str
    raw: str = ""


Record = Article | BadRecord


def good_articles(records: Iterable[Record], on_bad: Callable[[BadRecord], None]) -> Iterator[Article]:
    """The articles among records; malformed records go to `on_bad` as they come."""
    for record in records:
        if isinstance(record, BadRecord):
            on_bad(record)
        else:
            yield record


def refuse(bad: BadRecord) -> None:
    """Raise RequestError for a malformed record; for corpora that may have none."""
    raise RequestError(f"{bad.origin}: {bad.reason}")


def flaw(article: Article) -> str | None:
    """Why an article cannot be used: it has no text, or half of a surrogate pair. None if it can."""
    if not article.paragraphs:
        return f"article {article.id!r} has no text"
    for text in (article.id, article.title, article.topic or "", *(part.text for part in article.paragraphs)):
        # JSON can spell half of a surrogate pair, at which tokenizers and Parquet would fail much later.
        if not is_encodable(text):
            return "undecodable, half of a surrogate pair such as \\ud83d"
    return None


def is_encodable(text: str) -> bool:
    """Whether UTF-8 can encode a text, which half of a surrogate pair prevents."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Quarantine:
    """Malformed records that are set aside, at most `max_bad`, while `output` is made of a corpus.

    They are written to `OUTPUT.quarantine.jsonl`, a line each with `origin`, `reason` and `text` (how the record
    begins); without malformed records there is no such file.
    """

    def __init__(self, output: Path, max_bad: int) -> None:
        if max_bad < 0:
            raise RequestError(f"--max-bad {max_bad}: must be at least 0")
        self.path = output.with_name(output.name + ".quarantine.jsonl")
        self.records: list[dict[str, str]] = []
        self._max_bad = max_bad

    def add(self, bad: BadRecord) -> None:
        """Set a record aside. Where that is one too many, write the file with all of them and raise RequestError."""
        self.extend([{"origin": bad.origin, "reason": bad.reason, "text": bad.raw}])

    def extend(self, records: Iterable[dict[str, str]]) -> None:
        """Set records aside, as `add` does with one."""
        self.records += records
        if len(self.records) > self._max_bad:
            self.close()
            first = self.records[0]
            example = f"{first['origin']}: {first['reason']}"
            if len(self.records) == 1:
                raise RequestError(f"{example} (--max-bad N would set up to N such records aside)")
            raise RequestError(
                f"{len(self.records)} malformed records are more than --max-bad {self._max_bad}; "
                f"they are in {self.path}, the first is {example}"
            )

    def close(self) -> None:
        """Write the file, or remove that of an earlier run where no record is malformed."""
        if self.records:
            write_text(self.path, "".join(json.dumps(record, ensure_ascii=True) + "\n" for record in self.records))
        else:
            self.path.unlink(missing_ok=True)
