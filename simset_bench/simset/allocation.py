"""Which memory entries belong to which document: the strategies, by their names on the command line."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from simset_bench.corpora.documents import Document
from simset_bench.errors import RequestError, unknown_name
from simset_bench.simset.clusters import Clusters, cluster
from simset_bench.simset.shingles import word_shingles
from simset_bench.simset.signatures import SEED_LIMIT, mix64, signatures
from simset_bench.simset.terms import entries_of_terms, specific_terms

# Clustering compares documents by at least this many hashes, whatever the number of entries a document.
CLUSTER_HASHES = 128
CLUSTER_SHINGLE_WORDS = 2
PARTITIONS_BY = ("size", "length")
# Signatures turned into entries at once.
_TOGETHER = 512


@dataclass(frozen=True)
class Allocation:
    """Entries of each document: `entries[d]` are indices in [0, num_entries), sorted, distinct, uint32.

    `entries` may be a matrix mapped from disk, whose document_ids are then left out (see `lookup.Lookup`).

    `clusters` (documents,) uint32 number the groups that share entries; `merge_similarity` is that of the last two
    documents put into one group, None where every document is its own. `signatures` (documents, k) uint64 are those
    that a simset strategy drew entries from, else None.
    """

    document_ids: Sequence[str]
    clusters: np.ndarray
    entries: Sequence[np.ndarray]
    num_entries: int
    strategy: str
    seed: int
    merge_similarity: float | None = None
    signatures: np.ndarray | None = None

    def mask(self, documents: Sequence[int]) -> np.ndarray:
        """Masks (batch, num_entries) bool of some documents, by number."""
        return masks_of(self.entries, documents, self.num_entries)


def masks_of(entries: Sequence[np.ndarray], documents: Sequence[int], num_entries: int) -> np.ndarray:
    """Masks (batch, num_entries) bool of the documents with these numbers, `entries[d]` being document d's."""
    masks = np.zeros((len(documents), num_entries), dtype=bool)
    for row, document in enumerate(documents):
        masks[row, entries[document]] = True
    return masks


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


def allocate(
    documents: Sequence[Document],
    strategy: str,
    num_entries: int,
    entries_per_doc: int,
    seed: int,
    num_clusters: int | None = None,
    partition_by: str = "size",
) -> Allocation:
    """Allocate entries to documents; those of one cluster share theirs.

    A cluster is treated as one text: its shingles are its documents' together, its length the sum of theirs.
    Raises RequestError for an unknown strategy and for numbers that do not fit together, naming the options.
    """
    check_request(strategy, num_entries, entries_per_doc, seed, partition_by)
    _check_documents(documents)
    clusters = _cluster(documents, seed, num_clusters)
    by_unit = np.argsort(clusters.labels, kind="stable")
    members = [group.tolist() for group in np.split(by_unit, np.cumsum(np.bincount(clusters.labels))[:-1])]
    lengths = np.array([sum(len(documents[d].text.split()) for d in group) for group in members])

    def shingle_sets(words: int) -> Iterator[set[str]]:
        # One at a time: all sets together take many times the memory of the texts.
        return (set().union(*(word_shingles(documents[d].text, words) for d in group)) for group in members)

    def texts() -> list[str]:
        return ["\n".join(documents[d].text for d in group) for group in members]

    draw = ALLOCATIONS[strategy]
    if strategy == "partitioned":
        draw = partial(partitions, by=partition_by)
    drawn = draw(Units(shingle_sets, lengths, texts), num_entries, entries_per_doc, seed)
    return Allocation(
        tuple(document.id for document in documents),
        clusters.labels,
        tuple(drawn.entries[label] for label in clusters.labels),
        num_entries,
        strategy,
        seed,
        clusters.merge_similarity,
        None if drawn.signatures is None else drawn.signatures[clusters.labels],
    )


def _cluster(documents: Sequence[Document], seed: int, num_clusters: int | None) -> Clusters:
    if num_clusters is None or num_clusters == len(documents):
        return Clusters(np.arange(len(documents), dtype=np.uint32), None)
    sets = (word_shingles(document.text, CLUSTER_SHINGLE_WORDS) for document in documents)
    return cluster(signatures(sets, CLUSTER_HASHES, seed), num_clusters)


def check_request(strategy: str, num_entries: int, entries_per_doc: int, seed: int, partition_by: str = "size") -> None:
    """Raise RequestError for an unknown strategy and for numbers that no allocation can have, naming the options."""
    if strategy not in ALLOCATIONS:
        raise unknown_name("allocation", strategy, ALLOCATIONS)
    if partition_by not in PARTITIONS_BY:
        raise unknown_name("--partition-by", partition_by, PARTITIONS_BY)
    for option, value in (("--entries", num_entries), ("--entries-per-doc", entries_per_doc)):
        if value < 1:
            raise RequestError(f"{option} {value}: must be at least 1")
    if num_entries < entries_per_doc:
        raise RequestError(f"--entries {num_entries} are fewer than --entries-per-doc {entries_per_doc}")
    if not 0 <= seed < SEED_LIMIT:
        raise RequestError(f"--mem-seed {seed}: must be from 0 to {SEED_LIMIT - 1}")


def _check_documents(documents: Sequence[Document]) -> None:
    if not documents:
        raise RequestError("no documents to allocate entries to")
    seen: set[str] = set()
    for document in documents:
        if document.id in seen:
            raise RequestError(f"duplicate document id {document.id!r}")
        seen.add(document.id)
