"""Signed parts put together: wherever they are cut, they hold the same documents, duplicates and unions."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simset_bench.corpora.bad_records import Quarantine
from simset_bench.errors import RequestError
from simset_bench.simset.clusters import Clusters
from simset_bench.simset.large.assemble import find_duplicates, read_parts, rows_of_parts, union_signatures
from simset_bench.simset.lookup import id_hashes
from simset_bench.simset.store import Manifest

HASHES = 4
_UNLESS_SHARED = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
# Ids of a few letters, so that many come twice, in parts of any size.
_PARTS = st.lists(st.lists(st.text("ab", max_size=2), min_size=1, max_size=4), min_size=1, max_size=4)


def signatures_of(documents: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2**32, (documents, HASHES), dtype=np.uint32)


def write_parts(folder: Path, ids: Sequence[Sequence[str]]) -> list[Path]:
    """Parts with these ids, and the signatures of `signatures_of` in their order."""
    signed, start, paths = signatures_of(sum(map(len, ids))), 0, []
    for number, own in enumerate(ids):
        rows = signed[start : start + len(own)]
        column = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), HASHES)
        paths.append(folder / f"part-{number}.parquet")
        pq.write_table(pa.table({"id": pa.array(own, pa.string()), "signature0": column}), paths[-1])
        start += len(own)
    return paths


@given(ids=_PARTS, drop=st.sets(st.integers(0, 15)))
@_UNLESS_SHARED
def test_parts_hold_all_documents_but_the_dropped_ones(ids: list[list[str]], drop: set[int], tmp_path: Path) -> None:
    every = [identity for own in ids for identity in own]
    keep = [number for number in range(len(every)) if number not in drop]
    dropped = np.array(sorted(drop & set(range(len(every)))), dtype=np.int64)
    parts = list(read_parts(write_parts(tmp_path, ids), dropped))
    assert len(parts) == len(ids)
    assert [identity for part in parts for identity in part.ids.to_pylist()] == [every[number] for number in keep]
    assert (np.concatenate([part.signatures[0] for part in parts]) == signatures_of(len(every))[keep]).all()


@given(ids=_PARTS, known=st.sets(st.text("ab", max_size=2)))
@_UNLESS_SHARED
def test_duplicates_are_the_documents_whose_id_came_before(
    ids: list[list[str]], known: set[str], tmp_path: Path
) -> None:
    every = [identity for own in ids for identity in own]
    due = [number for number, identity in enumerate(every) if identity in known or identity in every[:number]]
    quarantine = Quarantine(tmp_path / "out", len(every))
    hashes = np.sort(id_hashes(known))
    assert find_duplicates(write_parts(tmp_path, ids), hashes, quarantine).tolist() == due
    assert [(row["origin"], row["text"]) for row in quarantine.records] == [
        (f"document {n + 1}", every[n]) for n in due
    ]
    assert all(f"duplicate document id {row['text']!r}" in row["reason"] for row in quarantine.records)


def test_one_duplicate_too_many_is_named_and_kept(tmp_path: Path) -> None:
    paths = write_parts(tmp_path, [["a", "b"], ["c", "a"]])
    with pytest.raises(RequestError, match=r"document 4: duplicate document id 'a', which an earlier document has too"):
        find_duplicates(paths, np.array([], dtype=np.uint64), Quarantine(tmp_path / "out", 0))
    assert json.loads((tmp_path / "out.quarantine.jsonl").read_text())["text"] == "a"


@given(ids=_PARTS, data=st.data())
@_UNLESS_SHARED
def test_a_clusters_signature_is_the_least_of_its_documents(
    ids: list[list[str]], data: st.DataObject, tmp_path: Path
) -> None:
    count = sum(map(len, ids))
    labels = np.array(data.draw(st.lists(st.integers(0, 3), min_size=count, max_size=count)), dtype=np.uint32)
    labels = np.unique(labels, return_inverse=True)[1].astype(np.uint32)
    nothing = np.array([], dtype=np.int64)
    united = union_signatures(read_parts(write_parts(tmp_path, ids), nothing), Clusters(labels, None), tmp_path)
    signed = signatures_of(count)
    assert (united == np.stack([signed[labels == label].min(0) for label in range(labels.max() + 1)])).all()


def test_a_strategy_that_needs_all_documents_at_once_is_refused(tmp_path: Path) -> None:
    manifest = Manifest("partitioned", 256, 16, 0, "scheme", "library", {}, partition_by="length")
    parts = read_parts(write_parts(tmp_path, [["a", "b"]]), np.array([], dtype=np.int64))
    with pytest.raises(RequestError, match="--allocation partitioned: no document's entries follow without the others"):
        list(rows_of_parts(parts, manifest, np.arange(2), None))
