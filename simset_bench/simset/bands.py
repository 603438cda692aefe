"""Pairs of documents that agree in bands of their signatures, found by sorting keys of the bands."""

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from simset_bench.simset.signatures import mix64

# Rows handled together, which bounds the memory of a comparison.
_TOGETHER = 1 << 16


def keys_of(compared: np.ndarray, documents: np.ndarray, positions: Sequence[int] | np.ndarray) -> np.ndarray:
    """Keys (documents,) uint64 of the hashes at some positions; documents that agree in all of them have equal keys.

    `compared` (all documents, hashes) are signatures, `documents` the numbers of those that get keys.
    """
    keys = np.zeros(len(documents), dtype=np.uint64)
    for start in range(0, len(documents), _TOGETHER):
        rows = compared[documents[start : start + _TOGETHER]]
        own = keys[start : start + _TOGETHER]
        for position in positions:
            own[:] = mix64(own * np.uint64(0x9E3779B97F4A7C15) + rows[:, position].astype(np.uint64) + np.uint64(1))
    return keys


def pairs_with_equal_keys(
    keys: np.ndarray, then_by: np.ndarray | None = None, neighbours: int | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Places of pairs whose keys are equal, in batches; of each pair the first has the lower place in a stable order.

    Places with equal keys stand in their order, or in that of `then_by`. With `neighbours` each is paired with so many
    that follow it there, and not with all.
    """
    order = np.argsort(keys, kind="stable") if then_by is None else np.lexsort((then_by, keys))
    ordered, distance = keys[order], 1
    firsts = np.flatnonzero(ordered[1:] == ordered[:-1])
    waiting: list[tuple[np.ndarray, np.ndarray]] = []
    count = 0
    while len(firsts) and (neighbours is None or distance <= neighbours):
        for start in range(0, len(firsts), _TOGETHER):
            part = firsts[start : start + _TOGETHER]
            waiting.append((order[part], order[part + distance]))
            count += len(part)
            if count >= _TOGETHER:
                yield _concatenated(waiting)
                waiting, count = [], 0
        distance += 1
        # What has an equal at this distance has one at every shorter distance.
        firsts = firsts[firsts + distance < len(order)]
        firsts = firsts[ordered[firsts + distance] == ordered[firsts]]
    if waiting:
        yield _concatenated(waiting)


def _concatenated(pairs: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate([pair[0] for pair in pairs]), np.concatenate([pair[1] for pair in pairs])


def count_pairs(keys: np.ndarray) -> int:
    """The number of pairs whose keys are equal."""
    ordered = np.sort(keys)
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    sizes = np.diff(ends, prepend=-1)
    return int((sizes * (sizes - 1) // 2).sum())


def agreeing_hashes(compared: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """In how many hashes the documents of each pair agree: (pairs,) int64."""
    parts = [
        (compared[one[start : start + _TOGETHER]] == compared[other[start : start + _TOGETHER]]).sum(axis=1)
        for start in range(0, len(one), _TOGETHER)
    ]
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def identical_documents(compared: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For documents that have the signature of an earlier one: the first with it, and their own numbers, ascending."""
    documents, hashes = compared.shape
    keys = keys_of(compared, np.arange(documents), range(hashes))
    _, firsts, which = np.unique(keys, return_index=True, return_inverse=True)
    first = firsts[which]
    others = np.flatnonzero(first != np.arange(documents))
    others = others[agreeing_hashes(compared, first[others], others) == hashes]
    return first[others], others


def joined_labels(count: int, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Labels (count,) of the connected components of `count` nodes with an edge for each pair."""
    graph = coo_array((np.ones(len(one), dtype=np.int8), (one, other)), shape=(count, count))
    return connected_components(graph, directed=False)[1]


def in_order_of_first(labels: np.ndarray) -> np.ndarray:
    """Labels (documents,) uint32 of the same groups, numbered from 0 in the order of their first documents."""
    _, firsts, which = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(firsts))[which].astype(np.uint32)
