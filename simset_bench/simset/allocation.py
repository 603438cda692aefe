"""An allocation: which memory entries belong to which document."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from simset_bench.corpora.documents import Document
from simset_bench.errors import RequestError, check_count, unknown_name
from simset_bench.simset.clusters import TOPIC, Clustering, Clusters, check_num_clusters
from simset_bench.simset.shingles import word_shingles
from simset_bench.simset.signatures import SEED_LIMIT, signatures
from simset_bench.simset.strategies import PARTITIONS_BY, DrawOptions, TooManyDocuments, Units, find_strategy

# Clustering compares documents by this many hashes, whatever `entries_per_doc` is.
CLUSTER_HASHES = 128
CLUSTER_SHINGLE_WORDS = 2
_TOGETHER = 4096


@dataclass(frozen=True)
class Allocation:
    """Entries of each document: `entries[d]` are indices in [0, num_entries), sorted, distinct, uint32.

    `entries` may be a matrix mapped from disk, whose document_ids are then left out (see `lookup.Lookup`).

    `clusters` (documents,) uint32 number the groups that share entries; `merge_similarity` is the similarity of the
    last pair of documents that single linkage merged, None where it merged none. `signatures` (documents, k)
    uint64 are those that the entries follow from, None where they follow from none. `partition_by` says how partitions
    are cut, None for a strategy without partitions. `cluster_by` is topic for clusters by topic, `min_similarity` the
    least similarity of pairs that were merged, where the clusters follow from one.
    """

    document_ids: Sequence[str]
    clusters: np.ndarray
    entries: Sequence[np.ndarray]
    num_entries: int
    strategy: str
    seed: int
    merge_similarity: float | None = None
    signatures: np.ndarray | None = None
    partition_by: str | None = None
    cluster_by: str | None = None
    min_similarity: float | None = None

    @property
    def num_clusters(self) -> int:
        """The number of clusters."""
        return int(self.clusters.max()) + 1

    def mask(self, documents: Sequence[int]) -> np.ndarray:
        """Masks (batch, num_entries) bool of the documents with these numbers."""
        return masks_of(self.entries, documents, self.num_entries)


def in_order(allocation: Allocation, order: Sequence[int]) -> Allocation:
    """The same allocation with its documents in another order, given by their numbers."""
    signed = allocation.signatures
    return replace(
        allocation,
        document_ids=tuple(allocation.document_ids[number] for number in order),
        clusters=allocation.clusters[list(order)],
        entries=tuple(allocation.entries[number] for number in order),
        signatures=None if signed is None else signed[list(order)],
    )


def appended(old: Allocation, documents: Sequence[Document], options: DrawOptions) -> Allocation:
    """An allocation with the entries of further documents, each drawn as its own are: what `append` does to a file.

    Each of the documents is a cluster of its own. `options` are those of the old one.
    Raises RequestError under a strategy where the entries of one document depend on all, and where partitions have used
    up all entries.
    """
    strategy, taken = find_strategy(old.strategy), old.num_clusters
    if not strategy.draws_alone(options):
        how = f" cut by {options.partition_by}" if strategy.is_cut else ""
        raise RequestError(
            f"--allocation {old.strategy}{how}: entries of one document depend on all, so that none can be added"
        )
    try:
        strategy.check(options, taken + len(documents))
    except TooManyDocuments as error:
        room = options.num_entries // options.entries_per_doc - taken
        raise TooManyDocuments(
            f"--allocation {old.strategy}: the memory has room for {room} more documents of {options.entries_per_doc} "
            f"entries, and {len(documents)} are to be added: {taken} have "
            f"{taken * options.entries_per_doc} of its {options.num_entries} entries"
        ) from error
    new = allocate(documents, old.strategy, options.num_entries, options.entries_per_doc, options.seed)
    draw = strategy.draw_one(options)
    drawn = new.entries if draw is None else [draw(taken + number) for number in range(len(documents))]
    both_signed = old.signatures is not None and new.signatures is not None
    return replace(
        old,
        document_ids=(*old.document_ids, *new.document_ids),
        clusters=np.concatenate([old.clusters, np.arange(taken, taken + len(documents), dtype=np.uint32)]),
        entries=(*old.entries, *drawn),
        signatures=np.concatenate([old.signatures, new.signatures]) if both_signed else None,
    )


def masks_of(entries: Sequence[np.ndarray], documents: Sequence[int], num_entries: int) -> np.ndarray:
    """Masks (batch, num_entries) bool of the documents with these numbers, `entries[d]` being document d's."""
    masks = np.zeros((len(documents), num_entries), dtype=bool)
    for row, document in enumerate(documents):
        masks[row, entries[document]] = True
    return masks


def allocate(
    documents: Sequence[Document],
    strategy: str,
    num_entries: int,
    entries_per_doc: int,
    seed: int,
    num_clusters: int | None = None,
    partition_by: str = "size",
    cluster_by: str | None = None,
    min_similarity: float | None = None,
) -> Allocation:
    """Allocate entries to documents; the documents of a cluster share their entries.

    A cluster counts as one text: its shingles are the union of its documents' shingles, its length the sum of their
    lengths. Which documents are a cluster, `num_clusters`, `cluster_by` and `min_similarity` say (`Clustering`).
    Raises RequestError for an unknown strategy and for numbers that do not fit together, naming the options.
    """
    options = DrawOptions(num_entries, entries_per_doc, seed, partition_by)
    clustering = Clustering(num_clusters, min_similarity, cluster_by)
    _check_documents(documents)
    clustering.check()
    check_allocation(strategy, options, clustering.units(len(documents)))
    clusters = cluster_documents(documents, seed, clustering)
    check_allocation(strategy, options, clusters.count)
    by_unit = np.argsort(clusters.labels, kind="stable")
    members = [group.tolist() for group in np.split(by_unit, np.cumsum(np.bincount(clusters.labels))[:-1])]
    lengths = np.array([sum(len(documents[d].text.split()) for d in group) for group in members])

    def shingle_sets(words: int) -> Iterator[set[str]]:
        # A generator, since all sets together take many times the memory of the texts.
        return (set().union(*(word_shingles(documents[d].text, words) for d in group)) for group in members)

    def texts() -> list[str]:
        return ["\n".join(documents[d].text for d in group) for group in members]

    chosen = find_strategy(strategy)
    drawn = chosen.draw(Units(shingle_sets, lengths, texts), options)
    return Allocation(
        tuple(document.id for document in documents),
        clusters.labels,
        tuple(drawn.entries[label] for label in clusters.labels),
        num_entries,
        strategy,
        seed,
        clusters.merge_similarity,
        None if drawn.signatures is None else drawn.signatures[clusters.labels],
        partition_by if chosen.is_cut else None,
        clustering.recorded_method(len(documents)),
        min_similarity,
    )


def cluster_documents(documents: Sequence[Document], seed: int, clustering: Clustering) -> Clusters:
    """The clusters of documents in memory. Raises RequestError where there are fewer documents than clusters, or where
    `min_similarity` leads to another number of them."""
    if clustering.num_clusters is not None:
        check_num_clusters(clustering.num_clusters, len(documents))
    if not clustering.merges(len(documents)):
        return Clusters(np.arange(len(documents), dtype=np.uint32), None)
    # Imported here, since most trainings merge nothing and need no sparse graphs.
    from simset_bench.simset.merging import merge

    if clustering.method(len(documents)) == TOPIC:
        return merge(_topic_vectors(documents, seed), clustering, seed)
    sets = (word_shingles(document.text, CLUSTER_SHINGLE_WORDS) for document in documents)
    return merge(signatures(sets, CLUSTER_HASHES, seed), clustering, seed)


def _topic_vectors(documents: Sequence[Document], seed: int) -> np.ndarray:
    import pyarrow as pa

    from simset_bench.simset.large.arrow_words import spaced_words
    from simset_bench.simset.topics import topic_vectors

    starts = range(0, len(documents), _TOGETHER)
    texts = (pa.array([each.text for each in documents[a : a + _TOGETHER]], pa.large_string()) for a in starts)
    return np.concatenate([topic_vectors(spaced_words(part).to_pylist(), seed) for part in texts])


def check_allocation(strategy: str, options: DrawOptions, units: int | None = None) -> None:
    """Raise RequestError for an unknown strategy and for numbers that no allocation can have, naming the options.

    `units` is the number of documents or clusters that need entries, None where it is not known yet.
    """
    chosen = find_strategy(strategy)
    if options.partition_by not in PARTITIONS_BY:
        raise unknown_name("--partition-by", options.partition_by, PARTITIONS_BY)
    for option, value in (("--entries", options.num_entries), ("--entries-per-doc", options.entries_per_doc)):
        check_count(option, value)
    if options.num_entries < options.entries_per_doc:
        raise RequestError(
            f"--entries {options.num_entries} are fewer than --entries-per-doc {options.entries_per_doc}"
        )
    if not 0 <= options.seed < SEED_LIMIT:
        raise RequestError(f"--mem-seed {options.seed}: must be from 0 to {SEED_LIMIT - 1}")
    chosen.check(options, units)


def _check_documents(documents: Sequence[Document]) -> None:
    if not documents:
        raise RequestError("no documents to allocate entries to")
    seen: set[str] = set()
    for document in documents:
        if document.id in seen:
            raise RequestError(f"duplicate document id {document.id!r}")
        seen.add(document.id)
