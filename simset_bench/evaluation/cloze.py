"""Sentences of documents cut before a name, a number or a date."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from simset_bench.corpora.documents import Document

Kind = Literal["name", "number", "date"]
CONTEXT_WORDS = 4

_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
_DATE = re.compile(
    rf"\b(?:\d{{1,2}} (?:{_MONTHS})(?: \d{{3,4}})?|(?:{_MONTHS}) \d{{1,2}}(?:, \d{{3,4}})?|(?:{_MONTHS}) \d{{3,4}}"
    r"|1\d{3}s?|20\d{2}s?)\b"
)
_NUMBER = re.compile(r"(?<![\w.,])\d+(?:[.,]\d+)*(?: (?:million|billion|thousand|percent))?\b%?")
_NAME_WORD = r"[A-Z\u00c0-\u00de][\w'’\u2010-\u2015-]+"
_NAME = re.compile(rf"\b{_NAME_WORD}(?: (?:(?:of|the|de|von|van|al|la|le|du|di) )?{_NAME_WORD})*")
# A full stop ends a sentence when a capital follows and what precedes is no initial and no short title.
_SENTENCE_END = re.compile(
    r"(?<!\b[A-Z])(?<!\b(?:Dr|Mr|St|vs|Jr|Sr|ca))(?<!\b(?:Mrs|Gen))(?<!\bProf)[.!?]['\"”)]*\s+(?=[\"“(]?[A-Z\d])"
)


@dataclass(frozen=True)
class Cloze:
    """A cut sentence of `document` (its id): `answer` follows `prefix` there after a space.

    `distractor` is a span of the same kind from another document, which this document does not contain.
    """

    document: str
    prefix: str
    answer: str
    kind: Kind
    distractor: str


@dataclass(frozen=True)
class _Span:
    document: int
    prefix: str
    answer: str
    kind: Kind


def clozes(documents: Sequence[Document], per_document: int, seed: int) -> list[Cloze]:
    """At most `per_document` cut sentences of each document, drawn evenly and in the order of the text.

    A sentence is cut at most once, after at least four words. Distractors are drawn by `seed`; spans for which no
    other document has one of their kind are left out, and so is a document without any span.
    """
    generator = np.random.default_rng(seed)
    spans = [span for number, document in enumerate(documents) for span in _spans(number, document.text)]
    found = []
    for number, document in enumerate(documents):
        own = [span for span in spans if span.document == number]
        places: Iterable[int] = np.unique(np.linspace(0, len(own) - 1, per_document).round().astype(int)) if own else []
        for place in places:
            span = own[place]
            distractor = _distractor(span, spans, document.text, generator)
            if distractor is not None:
                found.append(Cloze(document.id, span.prefix, span.answer, span.kind, distractor))
    return found


def _distractor(span: _Span, spans: Sequence[_Span], text: str, generator: np.random.Generator) -> str | None:
    folded = text.casefold()
    others = {s.answer: None for s in spans if s.kind == span.kind and s.document != span.document}
    allowed = [answer for answer in others if answer.casefold() not in folded]
    return allowed[generator.integers(len(allowed))] if allowed else None


def _spans(document: int, text: str) -> Iterator[_Span]:
    for sentence in _sentences(text):
        best: tuple[int, int, Kind] | None = None
        patterns: tuple[tuple[Kind, re.Pattern[str]], ...] = (("date", _DATE), ("number", _NUMBER), ("name", _NAME))
        for kind, pattern in patterns:
            for match in pattern.finditer(sentence):
                prefix = sentence[: match.start()]
                has_context = len(prefix.split()) >= CONTEXT_WORDS and prefix.endswith(" ")
                # The last span of a sentence has most to go by; dates win over the numbers inside them.
                if has_context and (best is None or match.start() > best[1]):
                    best = (match.start(), match.end(), kind)
        if best:
            start, end, kind = best
            yield _Span(document, sentence[:start].rstrip(), sentence[start:end], kind)


def _sentences(text: str) -> list[str]:
    return [" ".join(sentence.split()) for line in text.split("\n") for sentence in _SENTENCE_END.split(line)]
