"""Clusters of any number of documents: Daft does the banding, and of the pairs only a spanning forest is kept."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

from simset_bench.console import note, track
from simset_bench.simset.clusters import BAND_ROWS, Clusters, check_num_clusters
from simset_bench.simset.large.sign import MOST_PARTITIONS, load_daft, use_runner
from simset_bench.simset.signatures import mix64

# Documents whose keys of one band are grouped at a time, which bounds the memory of the shuffle.
GROUPED_TOGETHER = 1 << 22
_TASK_ROWS = 1 << 16
_PAIRS_TOGETHER = 1 << 16
_EDGE = np.dtype([("agreeing", np.int32), ("one", np.int64), ("other", np.int64)])


def cluster_out_of_core(compared: np.memmap, num_clusters: int, ray_address: str | None = None) -> Clusters:
    """The clusters that `clusters.cluster` gives, for signatures (documents, hashes) uint32 mapped from a .npy file.

    Every worker reads the file. Banding gives candidate pairs, each is checked against the signatures, and of those
    that are similar enough a maximum spanning forest is kept, which holds every merge of single linkage. All pairs of a
    bucket are compared, so time, but not memory, grows with the square of its size.
    Raises RequestError unless num_clusters is from 1 to the number of documents.
    """
    documents, hashes = compared.shape
    check_num_clusters(num_clusters, documents)
    assert compared.filename is not None
    forest, representatives = _identical(compared)
    for rows in BAND_ROWS:
        if documents - len(forest) <= num_clusters:
            break
        bands = hashes // rows
        note(f"clusters: {documents - len(forest)} so far, comparing documents in {bands} bands of {rows} hashes")
        for band in track(range(bands), f"comparing in {bands} bands"):
            buckets = _buckets(Path(compared.filename), representatives, band, rows, ray_address)
            # A pair that differs in fewer hashes than there are bands agrees in one whole band, so it is never missed.
            forest = _grown(forest, _verified(buckets, compared, hashes - bands + 1), documents)
    return _cut(forest, documents, hashes, num_clusters)


def _identical(compared: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Edges from each document to the first with the same signature, and the sorted numbers of those first ones."""
    documents, hashes = compared.shape
    keys = np.concatenate([_keys(compared[start : start + _TASK_ROWS]) for start in range(0, documents, _TASK_ROWS)])
    _, firsts, which = np.unique(keys, return_index=True, return_inverse=True)
    first = firsts[which]
    others = np.flatnonzero(first != np.arange(documents))
    agreeing = _agreeing(compared, first[others], others)
    others = others[agreeing == hashes]
    edges = _edges(np.full(len(others), hashes), first[others], others)
    return _spanning_forest(edges, documents), np.delete(np.arange(documents), others)


def _keys(rows: np.ndarray) -> np.ndarray:
    """A 64-bit key of each row of hashes; equal rows have equal keys."""
    keys = np.zeros(len(rows), dtype=np.uint64)
    for column in rows.T:
        keys = mix64(keys * np.uint64(0x9E3779B97F4A7C15) + column + np.uint64(1))
    return keys


def _buckets(
    file: Path, representatives: np.ndarray, band: int, rows: int, ray_address: str | None
) -> Iterator[pa.ListArray]:
    """Lists of the numbers of two or more documents that agree in all hashes of a band."""
    use_runner(ray_address)
    daft = load_daft()
    starts = np.arange(0, len(representatives), _TASK_ROWS)
    rounds = -(-len(representatives) // GROUPED_TOGETHER)
    pair = pa.struct([("key", pa.uint64()), ("document", pa.int64())])
    for turn in range(rounds):

        @daft.func.batch(return_dtype=daft.DataType.from_arrow_type(pa.large_list(pair)), batch_size=1)
        def banded(tasks, turn=turn):  # type: ignore[no-untyped-def]
            mapped, parts = np.load(file, mmap_mode="r"), []
            for numbers in tasks.to_pylist():
                numbers = np.array(numbers)
                keys = _keys(mapped[numbers, band * rows : (band + 1) * rows])
                here = keys % np.uint64(rounds) == turn
                parts.append(pa.StructArray.from_arrays([keys[here], numbers[here]], fields=list(pair)))
            ends = np.cumsum([0, *(len(part) for part in parts)])
            return pa.LargeListArray.from_arrays(pa.array(ends, pa.int64()), pa.concat_arrays(parts))

        tasks = [representatives[start : start + _TASK_ROWS] for start in starts]
        plan = daft.from_arrow(pa.table({"task": pa.array(tasks, pa.large_list(pa.int64()))}))
        if ray_address is not None:
            plan = plan.into_partitions(min(len(tasks), MOST_PARTITIONS))
        plan = plan.select(banded(daft.col("task")).alias("pair")).explode("pair")
        plan = plan.select(daft.col("pair").get("key").alias("key"), daft.col("pair").get("document").alias("document"))
        plan = plan.groupby("key").agg(daft.col("document").list_agg().alias("documents"))
        plan = plan.where(daft.col("documents").list_count() > 1).select("documents")
        for batch in plan.to_arrow_iter():
            yield batch["documents"]


def _verified(buckets: Iterator[pa.ListArray], compared: np.ndarray, least: int) -> Iterator[np.ndarray]:
    """Edges between documents of one bucket that agree in at least `least` hashes, in batches."""
    for one, other in _batches(_pairs(buckets)):
        low, high = np.minimum(one, other), np.maximum(one, other)
        agreeing = _agreeing(compared, low, high)
        enough = agreeing >= least
        yield _edges(agreeing[enough], low[enough], high[enough])


def _pairs(buckets: Iterator[pa.ListArray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All pairs within each bucket; buckets of the same size are handled together."""
    for lists in buckets:
        ends = np.cumsum(lists.value_lengths().to_numpy())
        values = lists.flatten().to_numpy()
        sizes = np.diff(ends, prepend=0)
        for size in np.unique(sizes).tolist():
            starts = (ends - sizes)[sizes == size]
            members = values[starts[:, None] + np.arange(size)]
            for distance in range(1, size):
                yield members[:, :-distance].reshape(-1), members[:, distance:].reshape(-1)


def _batches(pairs: Iterator[tuple[np.ndarray, np.ndarray]]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The pairs in batches of about _PAIRS_TOGETHER."""
    waiting: list[tuple[np.ndarray, np.ndarray]] = []
    count = 0
    for one, other in pairs:
        for start in range(0, len(one), _PAIRS_TOGETHER):
            waiting.append((one[start : start + _PAIRS_TOGETHER], other[start : start + _PAIRS_TOGETHER]))
            count += len(waiting[-1][0])
            if count >= _PAIRS_TOGETHER:
                yield np.concatenate([pair[0] for pair in waiting]), np.concatenate([pair[1] for pair in waiting])
                waiting, count = [], 0
    if waiting:
        yield np.concatenate([pair[0] for pair in waiting]), np.concatenate([pair[1] for pair in waiting])


def _agreeing(compared: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    parts = [
        (compared[one[start : start + _TASK_ROWS]] == compared[other[start : start + _TASK_ROWS]]).sum(axis=1)
        for start in range(0, len(one), _TASK_ROWS)
    ]
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def _edges(agreeing: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Edges whose ascending order is the order of merging: the most similar first, ties by document numbers."""
    edges = np.empty(len(one), dtype=_EDGE)
    edges["agreeing"], edges["one"], edges["other"] = -agreeing, one, other
    return edges


def _grown(forest: np.ndarray, batches: Iterator[np.ndarray], documents: int) -> np.ndarray:
    """The spanning forest of an earlier one and more edges, computed whenever these outnumber documents two to one."""
    waiting, count = [forest], len(forest)
    for edges in batches:
        waiting.append(edges)
        count += len(edges)
        if count > 2 * documents:
            waiting = [_spanning_forest(np.concatenate(waiting), documents)]
            count = len(waiting[0])
    return _spanning_forest(np.concatenate(waiting), documents)


def _spanning_forest(edges: np.ndarray, documents: int) -> np.ndarray:
    """The edges that merging in ascending order would use, in that order (Kruskal's algorithm)."""
    edges = edges[np.lexsort((edges["other"], edges["one"], edges["agreeing"]))]
    edges = edges[np.append(True, edges[1:] != edges[:-1])[: len(edges)]]
    # Ranks instead of similarities: without ties there is only one minimum spanning forest.
    ranks = np.arange(1, len(edges) + 1, dtype=np.float64)
    graph = coo_array((ranks, (edges["one"], edges["other"])), shape=(documents, documents)).tocsr()
    kept = minimum_spanning_tree(graph).data.astype(np.int64) - 1
    return edges[np.sort(kept)]


def _cut(forest: np.ndarray, documents: int, hashes: int, num_clusters: int) -> Clusters:
    used = forest[: documents - num_clusters]
    graph = coo_array((np.ones(len(used)), (used["one"], used["other"])), shape=(documents, documents))
    _, groups = connected_components(graph, directed=False)
    _, firsts, which = np.unique(groups, return_index=True, return_inverse=True)
    last = -int(used["agreeing"][-1]) if len(used) else None
    apart = len(firsts) - num_clusters
    if apart > 0:
        # Pairs that agree in no hash come last: the first document is merged with the next ones in their order.
        order = np.argsort(firsts)
        joined = np.isin(np.arange(len(firsts)), order[1 : apart + 1])
        which = np.where(joined[which], order[0], which)
        last = 0
    _, firsts, which = np.unique(which, return_index=True, return_inverse=True)
    labels = np.argsort(np.argsort(firsts))[which].astype(np.uint32)
    return Clusters(labels, None if last is None else last / hashes)
