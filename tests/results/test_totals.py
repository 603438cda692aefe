"""Totals of documents are the same of packed samples as of a Parquet file, key for key."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simset_bench.results.packed import PackedRun, write_packed
from simset_bench.results.packed_columns import columns_of, with_short_hashes
from simset_bench.results.samples import write_samples
from simset_bench.results.totals import totals_of

RECORD = st.fixed_dictionaries(
    {
        "cluster": st.sampled_from(["a", "b", "ü", "\U0001f600", "Z"]),
        # `nll` is a mean over tokens, and `gain` and `is_member` are summed beside the measures.
        "measures": st.dictionaries(st.sampled_from(["nll", "f1", "bits_stated"]), st.floats(-1e6, 1e6), max_size=3),
        # The last two are alike but for their last digit.
        "prompt_hash": st.sampled_from(["p", "q", "0123456789abcdef" * 4, "0123456789abcdef" * 3 + "0123456789abcdee"]),
        "target_hash": st.sampled_from(["", "t"]),
        "sample": st.integers(0, 3).map(str),
    },
    optional={"tokens": st.integers(1, 1000), "gain": st.floats(-5, 5), "is_member": st.booleans()},
)


@settings(max_examples=15)
@given(st.lists(RECORD, min_size=1, max_size=12))
def test_packed_samples_have_the_totals_of_a_file(
    tmp_path_factory: pytest.TempPathFactory, records: list[dict]
) -> None:
    folder = tmp_path_factory.mktemp("totals")
    file = folder / "single" / "eval" / "x.free.samples.parquet"
    file.parent.mkdir(parents=True)
    write_samples(file, records)
    texts = {"config.yaml": "", "manifest.json": "", "eval/x.free.json": json.dumps({})}
    write_packed(folder, [PackedRun("run", "0", texts, {"x.free": with_short_hashes(columns_of(records))})])
    packed = str(folder / "run" / "eval" / "x.free.samples.parquet")
    # A run has whole hashes, an entry the first digits of them.
    run = folder / "run.samples.jsonl"
    run.write_text("".join(f"{json.dumps(record)}\n" for record in records), encoding="utf-8")
    due, found, of_run = totals_of([str(file)]), totals_of([packed]), totals_of([str(run)])
    assert {measure for _, measure in found} == {measure for _, measure in due}
    for (_, measure), part in due.items():
        same = found[packed, measure]
        assert of_run[str(run), measure].asked.tolist() == part.asked.tolist()
        assert part.clusters.tolist() == same.clusters.tolist() and part.asked.tolist() == same.asked.tolist()
        assert same.weights.tolist() == part.weights.tolist()
        # Sums of up to twelve float64 in another order.
        assert np.allclose(same.totals, part.totals, rtol=0, atol=12 * 1e-16 * 1e6 * 1000 * 12)
    both = totals_of([str(file), packed])
    assert len(both) == len(due) + len(found)


def test_a_path_that_leads_nowhere_has_no_totals(tmp_path: Path) -> None:
    texts = {"config.yaml": "", "manifest.json": "", "eval/x.free.json": "{}"}
    record = {"cluster": "a", "measures": {"f1": 1.0}, "prompt_hash": "p", "target_hash": "", "sample": "0"}
    write_packed(tmp_path, [PackedRun("run", "0", texts, {"x.free": columns_of([record])})])
    for name in ("run/eval/y.free.samples.parquet", "other/eval/x.free.samples.parquet"):
        assert totals_of([str(tmp_path / name)]) == {}
