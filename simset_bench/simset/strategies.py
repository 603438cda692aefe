"""The allocation strategies: from documents to entries, by their names on the command line."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np

from simset_bench.errors import RequestError
from simset_bench.simset.signatures import mix64, signatures
from simset_bench.simset.terms import entries_of_terms, specific_terms

PARTITIONS_BY = ("size", "length")


# Signatures turned into entries at once.
_TOGETHER = 512


@dataclass(frozen=True)
class Units:
    """What entries are drawn for: one text and one length in words for each cluster, in the clusters' order."""

    shingle_sets: Callable[[int], Iterable[set[str]]]
    lengths: np.ndarray
    texts: Callable[[], list[str]]


@dataclass(frozen=True)
class Drawn:
    """Entries of each unit, and the signatures (units, k) uint64 that they come from where they do."""

    entries: list[np.ndarray]
    signatures: np.ndarray | None = None


Draw = Callable[[Units, int, int, int], Drawn]


def every_entry(units: Units, num_entries: int, _entries_per_doc: int, _seed: int) -> Drawn:
    """All entries for every unit: no structure."""
    return Drawn([np.arange(num_entries, dtype=np.uint32)] * len(units.lengths))


def random_entries(units: Units, num_entries: int, entries_per_doc: int, seed: int) -> Drawn:
    """`entries_per_doc` entries a unit, without replacement; a unit's draw does not depend on how many follow."""
    return Drawn([random_draw(unit, num_entries, entries_per_doc, seed) for unit in range(len(units.lengths))])


def random_draw(unit: int, num_entries: int, entries_per_doc: int, seed: int) -> np.ndarray:
    """Entries (k,) uint32 of one unit, in ascending order."""
    generator = np.random.default_rng([seed, unit])
    return np.sort(generator.choice(num_entries, entries_per_doc, replace=False)).astype(np.uint32)


def partitions(units: Units, num_entries: int, _entries_per_doc: int, _seed: int, *, by: str = "size") -> Drawn:
    """Disjoint contiguous blocks of equal size, or of sizes proportional to the units' lengths.

    Equal blocks have num_entries // units entries each, so k follows from the number of units and a rest stays
    unused. By length all entries are used up: shares are rounded by largest remainder (Hamilton's method), and a unit
    whose share is below 1 gets 1 at the others' cost.
    Raises RequestError where a partition would be smaller than one entry.
    """
    count = len(units.lengths)
    if num_entries < count:
        raise RequestError(
            f"--entries {num_entries}: partitions of {count} documents or clusters would be smaller than one entry; "
            f"use --entries {count} or more, or fewer --num-clusters"
        )
    sizes = np.full(count, num_entries // count) if by == "size" else _proportional(units.lengths, num_entries)
    ends = np.cumsum(sizes)
    return Drawn([np.arange(end - size, end, dtype=np.uint32) for end, size in zip(ends, sizes, strict=True)])


def _proportional(lengths: np.ndarray, total: int) -> np.ndarray:
    exact = lengths / lengths.sum() * total
    while (exact < 1).any():
        large = exact > 1
        exact = np.where(large, lengths / lengths[large].sum() * (total - (~large).sum()), 1.0)
    sizes = np.floor(exact).astype(int)
    largest_remainders = np.argsort(-(exact - sizes), kind="stable")
    sizes[largest_remainders[: total - sizes.sum()]] += 1
    return sizes


def simset(units: Units, num_entries: int, entries_per_doc: int, seed: int, *, shingle_words: int) -> Drawn:
    """One entry from each of k blocks of M / k, chosen by the k values of the unit's MinHash signature.

    Slot j picks entry mix64(signature[j]) mod (M / k) of block j, so two units share a slot with probability
    J + (1 - J) k / M, J being the Jaccard similarity of their word shingles.
    Raises RequestError unless k divides M.
    """
    check_divisible(num_entries, entries_per_doc)
    signed = signatures(units.shingle_sets(shingle_words), entries_per_doc, seed)
    return Drawn(list(entries_by_signature(signed, num_entries)), signed)


def check_divisible(num_entries: int, entries_per_doc: int) -> None:
    """Raise RequestError unless a memory of M entries can be cut into k equal blocks."""
    if rest := num_entries % entries_per_doc:
        raise RequestError(
            f"--entries {num_entries} is not divisible by --entries-per-doc {entries_per_doc}, as simset needs it to "
            f"be: use {num_entries - rest} or {num_entries - rest + entries_per_doc}"
        )


def entries_by_signature(signed: np.ndarray, num_entries: int) -> np.ndarray:
    """Entries (documents, k) uint32 that signatures (documents, k) choose: one of each of k blocks of M / k."""
    slots = signed.shape[1]
    block = np.uint64(num_entries // slots)
    first_of_block = np.arange(slots, dtype=np.uint32) * np.uint32(block)
    entries = np.empty(signed.shape, np.uint32)
    # A few rows at a time stay in a processor's cache, and NumPy divides faster than it takes remainders.
    for start in range(0, len(signed), _TOGETHER):
        mixed = mix64(signed[start : start + _TOGETHER].astype(np.uint64))
        entries[start : start + _TOGETHER] = mixed - mixed // block * block
    return entries + first_of_block


def tfidf(units: Units, num_entries: int, entries_per_doc: int, seed: int) -> Drawn:
    """Entries that the hashes of a unit's most specific terms name, by TF-IDF among the units.

    After sparse memory fine-tuning (arXiv 2510.15103, section 3), which trains the memory slots that a batch reads most
    often compared with other text, ranked by TF-IDF. Slots there are found by learned keys, here by terms.
    """
    terms = specific_terms(units.texts())
    return Drawn([entries_of_terms(own, num_entries, entries_per_doc, seed) for own in terms])


ALLOCATIONS: dict[str, Draw] = {
    "none": every_entry,
    "random": random_entries,
    "partitioned": partitions,
    "simset1": partial(simset, shingle_words=1),
    "simset2": partial(simset, shingle_words=2),
    "simset3": partial(simset, shingle_words=3),
    "tfidf": tfidf,
}


# What one document gets depends on all the others, so that they must be in memory, and none can be added later.
OF_WHOLE_CORPUS = ("partitioned", "tfidf")


def shingle_words_of(strategy: str) -> int | None:
    """Words a shingle of a simset strategy, None for another."""
    return int(strategy[-1]) if strategy.startswith("simset") else None
