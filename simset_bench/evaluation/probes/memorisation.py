"""How much of the memorised documents a model repeats word for word, without generating anything.

A greedy continuation of a prefix is the document's own exactly where each of its tokens is the likeliest one after
those before it. So what a model would generate with a fixed budget is known without generating it, and the answer is
not given away: a continuation with one wrong token counts as lost.
"""

from typing import Any

import numpy as np

from simset_bench.console import note
from simset_bench.evaluation.estimates import Scored
from simset_bench.evaluation.probes.records import record, route_of, scored
from simset_bench.evaluation.probes.token_scores import ScoredText, TokenScores, token_scores
from simset_bench.evaluation.subject import Subject
from simset_bench.evaluation.task_options import TaskOptions
from simset_bench.training.data.segments import Segment
from simset_bench.training.recall_modes import ROUTER_OF

PREFIXES = (8, 16, 32, 64)
SUFFIX = 32
# Positions in a document are grouped by this many tokens.
POSITIONS = 32


def memorisation(subject: Subject, options: TaskOptions) -> Scored:
    """Exact memorisation and extraction strength of each segment, and whether each of its suffixes can be extracted.

    - `exact_memorisation`: share of a segment's tokens that are the likeliest after those before them, in [0, 1]; the
      EM of OpenUnlearning (arXiv 2506.12618), after arXiv 2205.10770
    - `extraction_strength`: 1 - k / n for the least k such that the last n - k of n tokens are each the likeliest, in
      [0, 1]; the ES of OpenUnlearning, after arXiv 2012.07805. Its released code gives 1 / n where the last token is
      wrong, and not 0.
    - `extractable_P`: share of suffixes of 32 tokens that the greedy continuation of the P tokens before them repeats,
      for P of 8, 16, 32 and 64 (arXiv 2202.07646, which asks for 50 tokens after 50 to 500). The suffixes are the same
      for every P: they begin at every 32nd token of a segment from the 64th on, so a segment of fewer than 96 has none
    - `nll` in nats a token

    In a routed recall mode `routed_at_1_P` is the share of prefixes of P tokens that lead the router to the document.
    `exact_memorisation` and `nll` again by position in the document (`groups`), in steps of 32 tokens.
    """
    documents = subject.documents[: options.limit]
    segments = [segment for segment in subject.segments(documents) if len(segment.token_ids) > segment.specials + 1]
    texts = [_whole(subject, segment) for segment in segments]
    suffixes = [(segment, place) for segment in segments for place in _places(segment)]
    if not suffixes:
        note(f"memorisation: no text has {PREFIXES[-1] + SUFFIX} tokens, so extractable_* is not measured")
    texts += [_suffix(subject, segment, place, prefix) for segment, place in suffixes for prefix in PREFIXES]
    scores_of = token_scores(subject.lm.base, texts, subject.memory_at_work(options.recall))

    records: list[dict[str, Any]] = []
    positions: dict[int, list[dict[str, Any]]] = {}
    before: dict[int, int] = {}
    for segment, scores in zip(segments, scores_of, strict=False):
        document = documents[segment.document]
        count = len(scores.greedy)
        values = _agreement(scores) | {"extraction_strength": extraction_strength(scores.greedy)}
        more = {"tokens": count} | route_of(options.recall, scores)
        records.append(record(document, f"{document.id}#{segment.number}", segment.text, values, **more))
        # The first token of a segment is given and not scored, so the scored ones are numbered from 1 on.
        first = before.get(segment.document, 0) + 1
        before[segment.document] = first + count
        places = np.arange(first, first + count) // POSITIONS * POSITIONS
        for place in dict.fromkeys(places.tolist()):
            here = places == place
            part = _agreement(TokenScores(scores.nll[here], scores.greedy[here]))
            positions.setdefault(place, []).append(record(document, "", "", part, tokens=int(here.sum())))
    of_suffixes = iter(scores_of[len(segments) :])
    for segment, place in suffixes:
        document = documents[segment.document]
        by_prefix = [(prefix, next(of_suffixes)) for prefix in PREFIXES]
        values = {f"extractable_{prefix}": float(scores.greedy.all()) for prefix, scores in by_prefix}
        if options.recall in ROUTER_OF:
            values |= {f"routed_at_1_{prefix}": float(scores.document == document.id) for prefix, scores in by_prefix}
        records.append(record(document, f"{document.id}#{segment.number}+{place}", segment.text, values))
    by_position = {f"{place}-{place + POSITIONS - 1}": part for place, part in sorted(positions.items())}
    return scored(records, {"position": by_position})


def _agreement(scores: TokenScores) -> dict[str, float]:
    return {"exact_memorisation": float(scores.greedy.mean()), "nll": float(scores.nll.mean())}


def extraction_strength(greedy: np.ndarray) -> float:
    """1 - k / n for the least k in [0, n] such that all of `greedy[k:]` (tokens,) bool are true; see `memorisation`."""
    wrong = np.flatnonzero(~greedy)
    return 1.0 - (int(wrong[-1]) + 1 if len(wrong) else 0) / len(greedy)


def _whole(subject: Subject, segment: Segment) -> ScoredText:
    return ScoredText(segment.token_ids, segment.specials + 1, subject.documents[segment.document].id)


def _places(segment: Segment) -> range:
    """Places among a segment's own tokens where a suffix begins; the longest prefix fits before each."""
    own = len(segment.token_ids) - segment.specials
    return range(PREFIXES[-1], own - SUFFIX + 1, SUFFIX)


def _suffix(subject: Subject, segment: Segment, place: int, prefix: int) -> ScoredText:
    """The suffix at `place` after `prefix` tokens, opened by the same special tokens as a document."""
    own = segment.token_ids[segment.specials :][place - prefix : place + SUFFIX]
    ids = (*segment.token_ids[: segment.specials], *own)
    return ScoredText(ids, segment.specials + prefix, subject.documents[segment.document].id)
