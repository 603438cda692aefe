"""What is known of a corpus of invented people: the bits that its facts hold, and how alike families are."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from simset_bench.corpora.documents import ClosedFact, Document

# Pairs compared of each sort, at most.
MOST_PAIRS = 2000
_SEED = 0


@dataclass(frozen=True)
class FamilySimilarity:
    """Mean Jaccard similarity in [0, 1] of documents of one family, and of two; None where there is no such pair."""

    within: float | None
    between: float | None


def family_similarity(documents: Sequence[Document], shingles_of: Callable[[str], set[str]]) -> FamilySimilarity:
    """Mean similarity over pairs of documents that share a topic, and that do not.

    Of each sort at most 2,000 pairs count, drawn by a fixed seed.
    """
    shingles: dict[int, set[str]] = {}

    def jaccard(one: int, other: int) -> float:
        first, second = (shingles.setdefault(number, shingles_of(documents[number].text)) for number in (one, other))
        return len(first & second) / max(1, len(first | second))

    families: dict[str | None, list[int]] = defaultdict(list)
    for number, document in enumerate(documents):
        families[document.topic].append(number)
    generator = np.random.default_rng(_SEED)
    within = _pairs_within([family for family in families.values() if len(family) > 1], generator)
    between = []
    if len(families) > 1:
        drawn = generator.integers(len(documents), size=(8 * MOST_PAIRS, 2)).tolist()
        between = [pair for pair in drawn if documents[pair[0]].topic != documents[pair[1]].topic][:MOST_PAIRS]
    means = (float(np.mean([jaccard(*pair) for pair in pairs])) if pairs else None for pairs in (within, between))
    return FamilySimilarity(*means)


def _pairs_within(families: Sequence[Sequence[int]], generator: np.random.Generator) -> list[tuple[int, int]]:
    pairs = []
    for place in generator.permutation(len(families)).tolist():
        family = generator.permutation(families[place]).tolist()
        # Neighbours in a ring, so that every member counts alike; two are one pair.
        pairs += list(zip(family, family[1:] + family[:1], strict=True))[: 1 if len(family) == 2 else None]
        if len(pairs) >= MOST_PAIRS:
            break
    return pairs[:MOST_PAIRS]


def bits_of_facts(documents: Sequence[Document], values: float) -> float:
    """Bits that all facts of the documents take under the generator: log2 32 each where relatives share nothing.

    With the chance `values` of the family's value, minus log2 of the mean over the 32 values that the family may have
    of the product over relatives of `values` [theirs is it] + (1 - `values`) / 32.
    """
    kin: dict[tuple[str | None, str], list[ClosedFact]] = defaultdict(list)
    for document in documents:
        for fact in document.facts:
            kin[document.topic, fact.attribute].append(fact)
    total = 0.0
    for facts in kin.values():
        candidates = facts[0].candidates
        same = np.array([sum(fact.value == candidate for fact in facts) for candidate in candidates])
        own = (1 - values) / len(candidates)
        with np.errstate(divide="ignore", invalid="ignore"):
            others = np.where(same < len(facts), (len(facts) - same) * np.log(own), 0.0)
        logs = same * math.log(values + own) + others
        total -= float(np.logaddexp.reduce(logs) - math.log(len(candidates))) / math.log(2)
    return total
