"""Sentences of documents cut before a name, a number or a date."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from simset_bench.console import note
from simset_bench.corpora.documents import Document

Kind = Literal["name", "number", "date"]
CONTEXT_WORDS = 4

_MONTH = "(?:January|February|March|April|May|June|July|August|September|October|November|December)"
_YEAR = r"(?:1\d{3}|20\d{2})(?:s|[–-]\d{2,4})?"
_DATE = "|".join(
    [
        rf"\d{{1,2}} {_MONTH}(?:,? \d{{3,4}})?",
        rf"{_MONTH} \d{{1,2}}(?:, \d{{3,4}})?",
        rf"{_MONTH} \d{{3,4}}",
        r"\d{1,4} (?:BCE?|CE|AD)",
        _YEAR,
    ]
)
_NUMBER = r"\d+(?:[.,:]\d+)*(?: ?%| (?:percent|per cent|thousand|million|billion|trillion))?"
# The capitals of the Latin, Greek, Cyrillic and Armenian scripts; other scripts have no capitals.
_CAPITAL = "".join(letter for letter in map(chr, range(0x590)) if letter.isupper())
# A name has a hyphen only between letters, so that dashes between spaces end it; an initial keeps its full stop.
_NAME_WORD = rf"(?:[{_CAPITAL}]\.|[{_CAPITAL}](?:\w|[’'-](?=[^\W\d])(?!s\b))*)"
_PARTICLE = "(?:of|the|de|der|den|del|della|du|da|di|la|le|al|el|von|van|zu|y|bin|ibn)"
_NAME = rf"{_NAME_WORD}(?:(?: {_PARTICLE}){{0,2}} {_NAME_WORD})+"
# Dates come first, since numbers and names are parts of them. A span begins and ends at the border of a word.
_SPAN = re.compile(rf"(?<!\S)(?:(?P<date>{_DATE})|(?P<number>{_NUMBER})|(?P<name>{_NAME}))(?![\w%]|[-–:]\w)")

_END = re.compile(r"""(?<=[.!?])["'”’)\]]*\s+(?=["'“‘(\[]*[^\W_])""")
_ABBREVIATED = re.compile(
    rf"(?:^|[\s(])(?:[{_CAPITAL}]|(?:\w\.)+\w|"
    r"Dr|Mr|Mrs|Ms|St|Jr|Sr|Mt|Ft|Prof|Gen|Lt|Col|Capt|Sgt|Rev|Hon|Sen|Gov|Inc|Ltd|Co|Corp|No|vs|ca|c|approx|r|d|b|fl|est"
    r")\.$"
)


@dataclass(frozen=True)
class Cloze:
    """A cut sentence of `document` (its id): `answer` follows `prefix` there, after one space.

    `distractor` is a span of the same kind from another document; this document does not contain it.
    """

    document: str
    prefix: str
    answer: str
    kind: Kind
    distractor: str


@dataclass(frozen=True)
class _Span:
    prefix: str
    answer: str
    kind: Kind


def clozes(documents: Sequence[Document], per_document: int, seed: int) -> list[Cloze]:
    """At most `per_document` cut sentences of each document, spread evenly over it and in its order.

    A sentence is cut once, before its last span that has at least four words before it: a name of two words or more, a
    number or a date. White space becomes single spaces. `seed` draws one of neighboring sentences, and the distractors.
    A text whose script has no capitals gives no names, and one without spaces gives no spans. A note on standard error
    says how many documents give no cloze. Raises ValueError for `per_document` below 1.
    """
    if per_document < 1:
        raise ValueError(f"per_document must be at least 1, found {per_document}")
    generator = np.random.default_rng(seed)
    texts = [" ".join(document.text.split()) for document in documents]
    spans = [list(_spans(document.text)) for document in documents]
    pools = _pools(spans, generator)
    drawn: list[Cloze] = []
    empty = 0
    for document, text, own in zip(documents, texts, spans, strict=True):
        before = len(drawn)
        for span in _spread(own, per_document, generator):
            distractor = _distractor(span, pools[span.kind], text.casefold(), generator)
            if distractor is not None:
                drawn.append(Cloze(document.id, span.prefix, span.answer, span.kind, distractor))
        empty += len(drawn) == before
    if empty:
        note(f"cloze: {empty} of {len(documents)} documents have no sentence to cut before a name, number or date")
    return drawn


def _spans(text: str) -> Iterator[_Span]:
    """The last usable span of each sentence."""
    for sentence in _sentences(text):
        matches = [m for m in _SPAN.finditer(sentence) if len(sentence[: m.start()].split()) >= CONTEXT_WORDS]
        if matches:
            last = matches[-1]
            kind: Kind = "date" if last["date"] else "number" if last["number"] else "name"
            yield _Span(sentence[: last.start()].rstrip(), last.group(), kind)


def _sentences(text: str) -> Iterator[str]:
    for line in text.split("\n"):
        start = 0
        for end in _END.finditer(line):
            # The full stop of an abbreviation ends no sentence, nor does one before a small letter.
            if _ABBREVIATED.search(line[start : end.start()]) or line[end.end() :].lstrip("\"'“‘([")[:1].islower():
                continue
            yield " ".join(line[start : end.end()].split())
            start = end.end()
        yield " ".join(line[start:].split())


def _pools(spans: Sequence[Sequence[_Span]], generator: np.random.Generator) -> dict[Kind, list[str]]:
    """The answers of each kind, each once, shuffled."""
    pools: dict[Kind, dict[str, str]] = {"name": {}, "number": {}, "date": {}}
    for span in (span for own in spans for span in own):
        pools[span.kind].setdefault(span.answer.casefold(), span.answer)
    return {kind: [list(pool.values())[n] for n in generator.permutation(len(pool))] for kind, pool in pools.items()}


def _spread(spans: Sequence[_Span], count: int, generator: np.random.Generator) -> list[_Span]:
    """One span of each of `count` equal stretches; all spans where there are at most `count`."""
    stretches = np.array_split(np.arange(len(spans)), min(count, len(spans)) or 1)
    return [spans[generator.choice(stretch)] for stretch in stretches if len(stretch)]


def _distractor(span: _Span, pool: Sequence[str], text: str, generator: np.random.Generator) -> str | None:
    """The first of the pool, from a drawn place on, that is not in the text and does not contain the answer."""
    first = int(generator.integers(len(pool)))
    for candidate in (pool[(first + step) % len(pool)] for step in range(len(pool))):
        folded = candidate.casefold()
        if folded not in text and span.answer.casefold() not in folded:
            return candidate
    return None
