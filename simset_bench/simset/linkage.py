"""Exact single linkage: pairs come from bands of the signatures, and of them only a spanning forest is kept."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import minimum_spanning_tree

from simset_bench.console import duration, note, progress_bar
from simset_bench.files import is_sealed, sealed_file
from simset_bench.simset.bands import (
    agreeing_hashes,
    count_pairs,
    identical_documents,
    in_order_of_first,
    joined_labels,
    keys_of,
    pairs_with_equal_keys,
)
from simset_bench.simset.clusters import Clusters, check_num_clusters

# Hashes a band in each pass over the documents: bands of many hashes give few, similar pairs; bands of one give every
# pair that agrees in any hash. Later passes cost more, and run only where earlier ones left more than `num_clusters`.
BAND_ROWS = (8, 4, 2, 1)
# What one core of an AMD EPYC compares (docs/scale.md); the estimate goes by it.
PAIRS_A_SECOND = 1_400_000
_SECONDS_TO_MENTION = 60.0
_BANDS_LOOKED_AT = 4
_EDGE = np.dtype([("agreeing", np.int32), ("one", np.int64), ("other", np.int64)])
_KEPT = "forest-"


def single_linkage(compared: np.ndarray, num_clusters: int, kept: Path | None = None) -> Clusters:
    """Single-linkage clusters of documents by signature similarity, so that exactly `num_clusters` remain.

    compared: (documents, hashes) unsigned integers with at least 16 hashes. Similarity is the share of hashes in which
    two signatures agree. The most similar pairs are merged first, ties in the order of document numbers; pairs that
    agree in no hash come last. All pairs that share a band are compared, so that time, but not memory, grows with the
    square of their number.

    The folder `kept` holds the forest of all finished bands, with which the same call goes on. Raises RequestError
    unless num_clusters is from 1 to the number of documents; a KeyboardInterrupt says which clusters there are so far.
    """
    documents, hashes = compared.shape
    check_num_clusters(num_clusters, documents)
    one, other = identical_documents(compared)
    distinct = np.delete(np.arange(documents), other)
    forest = _spanning_forest(_edges(np.full(len(one), hashes), one, other), documents)
    rows_kept, bands_kept, forest = _newest(kept) or (BAND_ROWS[0], 0, forest)
    # Pairs that agree in at least so many hashes are all merged.
    complete = hashes
    try:
        for rows in BAND_ROWS:
            settled = forest[forest["agreeing"] <= -complete]
            if documents - len(settled) <= num_clusters:
                break
            if rows <= rows_kept:
                first = bands_kept if rows == rows_kept else 0
                forest = _after_pass(compared, distinct, forest, settled, rows, first, kept)
            # A pair that differs in fewer hashes than there are bands agrees in one whole band, so it is never missed.
            complete = hashes - hashes // rows + 1
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(_so_far(documents - len(settled), complete / hashes, kept)) from error
    return _cut(forest, documents, hashes, num_clusters)


def _so_far(clusters: int, similarity: float, kept: Path | None) -> str:
    state = f"all pairs of similarity {similarity:.3f} or more are merged, which leaves {clusters} clusters"
    going_on = (
        f"bands that were compared are kept in {kept}, and the same command goes on" if kept else "nothing is kept"
    )
    return f"{state}; {going_on}"


def _after_pass(
    compared: np.ndarray,
    distinct: np.ndarray,
    forest: np.ndarray,
    settled: np.ndarray,
    rows: int,
    first: int,
    kept: Path | None,
) -> np.ndarray:
    """The forest after all bands of `rows` hashes from `first` on; `settled` are its edges that no pass can change."""
    documents, hashes = compared.shape
    bands = range(first, hashes // rows)
    groups = joined_labels(documents, settled["one"], settled["other"])

    def keys(band: int) -> np.ndarray:
        return _band_keys(compared, distinct, rows, band)

    pairs = sum(count_pairs(keys(band)) for band in bands)
    if pairs > PAIRS_A_SECOND:
        note(
            f"clusters: {documents - len(settled)} so far, comparing {pairs:,} pairs of documents "
            f"in {len(bands)} bands of {rows} hash{'es' if rows > 1 else ''}"
        )
    if pairs > PAIRS_A_SECOND * _SECONDS_TO_MENTION:
        note(_how_long(pairs, _pairs_of_later_passes(compared, distinct, rows)))
    with progress_bar() as bar:
        shown = bar.add_task("comparing pairs", total=pairs)
        for band in bands:

            def edges(band: int = band) -> Iterator[np.ndarray]:
                for places in pairs_with_equal_keys(keys(band)):
                    one, other = distinct[places[0]], distinct[places[1]]
                    bar.advance(shown, len(one))
                    # Within a settled group a less similar pair merges nothing.
                    apart = groups[one] != groups[other]
                    one, other = one[apart], other[apart]
                    agreeing = agreeing_hashes(compared, one, other)
                    enough = agreeing >= hashes - hashes // rows + 1
                    yield _edges(agreeing[enough], one[enough], other[enough])

            forest = _grown(forest, edges(), documents)
            _keep(kept, rows, band + 1, forest)
    return forest


def _band_keys(compared: np.ndarray, distinct: np.ndarray, rows: int, band: int) -> np.ndarray:
    return keys_of(compared, distinct, range(band * rows, (band + 1) * rows))


def _how_long(pairs: int, later: int) -> str:
    this = f"this pass takes about {duration(pairs / PAIRS_A_SECOND)}"
    more = f" and less similar pairs, if they are needed, {duration(later / PAIRS_A_SECOND)} more" if later else ""
    return f"{this}{more}; Ctrl-C stops it, --min-similarity and --cluster-by topic take less"


def _pairs_of_later_passes(compared: np.ndarray, distinct: np.ndarray, rows: int) -> int:
    """About how many pairs the passes after that of `rows` hashes compare, by a few of their bands."""
    total = 0
    for later in BAND_ROWS[BAND_ROWS.index(rows) + 1 :]:
        bands = compared.shape[1] // later
        looked_at = range(0, bands, -(-bands // _BANDS_LOOKED_AT))
        pairs = sum(count_pairs(_band_keys(compared, distinct, later, band)) for band in looked_at)
        total += pairs * bands // len(looked_at)
    return total


def _keep(folder: Path | None, rows: int, bands: int, forest: np.ndarray) -> None:
    """Keep the forest after the first `bands` bands of `rows` hashes, in place of an earlier one."""
    if folder is None:
        return
    path = folder / f"{_KEPT}{rows}-{bands}.npy"
    with sealed_file(path) as temporary, temporary.open("wb") as file:
        np.save(file, forest)
    for other in folder.glob(f"{_KEPT}*"):
        if not other.name.startswith(path.name):
            other.unlink()


def _newest(folder: Path | None) -> tuple[int, int, np.ndarray] | None:
    """Rows, number of bands and forest that an earlier call kept, None where there is nothing whole."""
    for path in folder.glob(f"{_KEPT}*.npy") if folder else ():
        if is_sealed(path):
            rows, bands = path.stem.removeprefix(_KEPT).split("-")
            return int(rows), int(bands), np.load(path)
    return None


def forget_kept(folder: Path) -> None:
    """Remove what calls for other documents kept in a folder."""
    for path in folder.glob(f"{_KEPT}*"):
        path.unlink()


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
    # SciPy before 1.17 reads no wider indices.
    ends = edges["one"].astype(np.int32), edges["other"].astype(np.int32)
    graph = coo_array((ranks, ends), shape=(documents, documents)).tocsr()
    kept = minimum_spanning_tree(graph).data.astype(np.int64) - 1
    return edges[np.sort(kept)]


def _cut(forest: np.ndarray, documents: int, hashes: int, num_clusters: int) -> Clusters:
    used = forest[: documents - num_clusters]
    labels = in_order_of_first(joined_labels(documents, used["one"], used["other"]))
    last = -int(used["agreeing"][-1]) if len(used) else None
    apart = int(labels.max()) + 1 - num_clusters
    if apart > 0:
        # Pairs that agree in no hash come last: the first document is merged with the next ones in their order.
        labels, last = np.maximum(labels, apart) - np.uint32(apart), 0
    return Clusters(labels, None if last is None else last / hashes)
