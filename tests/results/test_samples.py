"""Totals of documents by DuckDB against a plain loop, over JSON Lines and Parquet."""

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simset_bench.results.samples import document_totals, read_samples, samples_file, write_samples

RECORD = st.fixed_dictionaries(
    {
        "cluster": st.sampled_from(["a", "b", "ü"]),
        "measures": st.dictionaries(st.sampled_from(["nll", "f1"]), st.floats(-1e6, 1e6), max_size=2),
        "prompt_hash": st.sampled_from(["p", "q"]),
        "target_hash": st.just("t"),
        "sample": st.text(st.characters(codec="utf-8"), max_size=5),
        "responses": st.lists(st.text(st.characters(codec="utf-8"), max_size=5), max_size=2),
    },
    optional={"tokens": st.integers(1, 1000)},
)


def by_loop(records: list[dict]) -> dict[tuple[str, str], tuple[float, float]]:
    found: dict[tuple[str, str], tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    for record in records:
        for name, value in record["measures"].items():
            weight = record.get("tokens", 1) if name == "nll" else 1
            total, weights = found[record["cluster"], name]
            found[record["cluster"], name] = (total + value * weight, weights + weight)
    return found


@settings(max_examples=8)
@given(st.lists(RECORD, min_size=1, max_size=8))
def test_totals_are_those_of_a_loop_and_parquet_keeps_every_record(
    tmp_path_factory: pytest.TempPathFactory, records: list[dict]
) -> None:
    folder = tmp_path_factory.mktemp("samples")
    lines, parquet = folder / "x.samples.jsonl", folder / "x.samples.parquet"
    lines.write_text("".join(f"{json.dumps(record, ensure_ascii=False)}\n" for record in records), encoding="utf-8")
    write_samples(parquet, records)
    assert read_samples(parquet) == read_samples(lines) == records
    for file in (lines, parquet):
        frame = document_totals([str(file)])
        found = {(row.cluster, row.measure): (row.total, row.weight) for row in frame.itertuples()}
        due = by_loop(records)
        assert found.keys() == due.keys()
        for key, (total, weight) in due.items():
            assert found[key] == (pytest.approx(total, rel=1e-9, abs=1e-6), weight)


def test_a_damaged_file_is_said_and_the_others_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = {"cluster": "a", "measures": {"f1": 1.0}, "prompt_hash": "p", "target_hash": "t"}
    files = [tmp_path / f"{number}.samples.jsonl" for number in range(5)]
    for file in files:
        file.write_text(json.dumps(record) + "\n")
    files[2].write_text('{"cluster": "a", "mea')
    broken = tmp_path / "5.samples.parquet"
    broken.write_bytes(b"PAR1")
    frame = document_totals([*map(str, files), str(broken), str(tmp_path / "none.samples.jsonl")])
    assert sorted(frame["file"]) == [str(file) for number, file in enumerate(files) if number != 2]
    said = capsys.readouterr().err
    assert all(f"{name}: missing or damaged" in said for name in (files[2], broken, tmp_path / "none.samples.jsonl"))


def test_an_entrys_samples_are_found_beside_its_result(tmp_path: Path) -> None:
    assert samples_file(tmp_path / "docmem.free.json").name == "docmem.free.samples.jsonl"
    (tmp_path / "docmem.free.samples.parquet").write_bytes(b"")
    assert samples_file(tmp_path / "docmem.free.json").name == "docmem.free.samples.parquet"


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_what_a_figure_is_made_of_beside_its_measures_is_summed_too(tmp_path: Path, kind: str) -> None:
    record = {"measures": {"loss_score": 0.5, "forget_rise": 1.0}, "prompt_hash": "p", "target_hash": "t", "tokens": 10}
    records = [record | {"cluster": "a", "is_member": True, "gain": 0.2}, record | {"cluster": "b", "is_member": False}]
    file = tmp_path / f"x.samples.{kind}"
    if kind == "parquet":
        write_samples(file, records)
    else:
        file.write_text("".join(f"{json.dumps(each)}\n" for each in records))
    frame = document_totals([str(file)])
    found = {(row.cluster, row.measure): (row.total, row.weight) for row in frame.itertuples()}
    assert found["a", "is_member"] == (1, 1) and found["b", "is_member"] == (0, 1)
    # A gain is one a token.
    assert found["a", "gain"] == (2, 10) and ("b", "gain") not in found


def test_a_folder_whose_name_is_a_pattern_is_read_and_no_other(tmp_path: Path) -> None:
    record = {"cluster": "a", "prompt_hash": "p", "target_hash": "t"}
    for kind, write in ((".jsonl", _write_lines), (".parquet", write_samples)):
        files = [tmp_path / name / f"x.samples{kind}" for name in ("run[1]", "run1", "run*", "run?", "~")]
        for number, file in enumerate(files):
            file.parent.mkdir(exist_ok=True)
            write(file, [record | {"measures": {"f1": float(number)}}])
        for number, file in enumerate(files):
            (row,) = document_totals([str(file)]).itertuples()
            assert (row.file, row.total) == (str(file), number)


def _write_lines(file: Path, records: list[dict]) -> None:
    file.write_text("".join(json.dumps(record) + "\n" for record in records))


def _table(rows: int, **columns: pa.Array) -> pa.Table:
    """Samples that all say the same, with some columns of another content."""
    names = {name: pa.array(["x"] * rows) for name in ("cluster", "prompt_hash", "target_hash")}
    measures = pa.MapArray.from_arrays(range(rows + 1), pa.array(["f1"] * rows), pa.array([0.5] * rows))
    order = ("cluster", "tokens", "measures", "prompt_hash", "target_hash", "rest")
    every = names | {"tokens": pa.array([1] * rows), "measures": measures, "rest": pa.array(['{"sample": 1}'] * rows)}
    every |= columns
    return pa.table({name: every.pop(name) for name in order if name in every} | every)


def _twice() -> pa.Array:
    return pa.MapArray.from_arrays([0, 2], pa.array(["f1", "f1"]), pa.array([0.5, 1.0]))


def _shared(text: str, rows: int) -> pa.Array:
    """One text in many rows, which Parquet keeps once."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows), [text])


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (lambda: _table(1, gain=pa.array([9.0])), "has other columns"),
        (
            lambda: _table(1).rename_columns([name.upper() for name in _table(1).column_names]),
            "has other columns",
        ),
        (lambda: _table(1, tokens=pa.array(["1"])), "has other columns"),
        (lambda: _table(1, measures=_twice()), "a measure of sample 1 stands twice"),
        (lambda: _table(1_500_000), "values, more than 10,000,000"),
        (lambda: _table(1000, rest=_shared('{"sample": "%s"}' % ("x" * 5_000_000), 1000)), "unpacks to 5,000,"),
    ],
)
def test_parquet_that_means_two_things_or_unpacks_to_too_much_is_refused(
    tmp_path: Path, table: Callable[[], pa.Table], said: str
) -> None:
    file = tmp_path / "x.samples.parquet"
    pq.write_table(table(), file, store_schema=False)
    with pytest.raises(ValueError, match=said):
        read_samples(file)


def test_a_measure_that_stands_twice_is_summed_nowhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "x.samples.parquet"
    pq.write_table(_table(1, measures=_twice()), file)
    assert document_totals([str(file)]).empty
    assert "missing or damaged" in capsys.readouterr().err
