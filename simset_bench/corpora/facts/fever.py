"""FEVER claims with their verdicts."""

from collections.abc import Iterator
from dataclasses import dataclass

from simset_bench.corpora.files.fields import text_field
from simset_bench.corpora.files.records import objects_of
from simset_bench.errors import RequestError

LABELS = ("SUPPORTS", "REFUTES", "NOT ENOUGH INFO")


@dataclass(frozen=True)
class Claim:
    """One claim; `label` is one of `LABELS`, `pages` are the titles of the pages that its evidence comes from."""

    id: str
    text: str
    label: str
    pages: tuple[str, ...]


def read_claims(source: str) -> list[Claim]:
    """The claims of a FEVER file (arXiv 1803.05355), in JSON Lines, or of `hub:NAME[:CONFIG[:SPLIT]]`; each claim once.

    Fields: `claim`, `label`, and where present `id` and `evidence` (or `evidence_wiki_url`, as on the hub, which has a
    row for each piece of evidence). Raises RequestError for a source without claims, and for a missing or wrong field.
    """
    claims: dict[str, Claim] = {}
    for number, (where, record) in enumerate(objects_of(source, "a local file"), start=1):
        label = text_field(record, "label", where).upper()
        if label not in LABELS:
            raise RequestError(f"{where}: field `label` must be one of {', '.join(LABELS)}, found {label!r}")
        identity = str(record.get("id") or number)
        before = claims[identity].pages if identity in claims else ()
        pages = tuple(dict.fromkeys([*before, *_pages(record)]))
        claims[identity] = Claim(identity, text_field(record, "claim", where), label, pages)
    return list(claims.values())


def _pages(record: dict[str, object]) -> Iterator[str]:
    if record.get("evidence_wiki_url"):
        yield _title(str(record["evidence_wiki_url"]))
    evidence = record.get("evidence")
    for group in evidence if isinstance(evidence, list) else []:
        for piece in group if isinstance(group, list) else []:
            if isinstance(piece, list) and len(piece) > 2 and isinstance(piece[2], str):
                yield _title(piece[2])


def _title(page: str) -> str:
    return page.replace("_", " ").replace("-LRB-", "(").replace("-RRB-", ")").replace("-COLON-", ":")
