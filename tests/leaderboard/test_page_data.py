"""What the page is given: codes of p values that never claim too much, thinned curves, texts kept once."""

import base64
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simset_bench.leaderboard.page_data import add_samples, page_data, pair_codes, read_tasks
from simset_bench.leaderboard.table import make_leaderboard
from simset_bench.results.quantiles import LEVEL
from simset_bench.results.read import read_runs

Write = Callable[..., Path]
P_VALUES = st.one_of(st.floats(0, 1), st.floats(-12, 0).map(lambda power: 10.0**power), st.just(math.nan))


@given(st.integers(2, 8).flatmap(lambda rows: st.lists(P_VALUES, min_size=rows * (rows - 1) // 2, max_size=28)))
def test_a_code_stands_for_its_p_value_rounded_up(values: list[float]) -> None:
    """Rounded up by a thousandth at most, so that the page calls no pair different that the table does not."""
    rows = next(rows for rows in range(8, 1, -1) if rows * (rows - 1) // 2 <= len(values))
    values = values[: rows * (rows - 1) // 2]
    p_values = np.full((rows, rows), math.nan)
    p_values[np.triu_indices(rows, 1)] = values
    found = pair_codes(p_values)
    codes = np.frombuffer(base64.b64decode(found["codes"]), "<u2").tolist()
    assert len(codes) == len(values)
    for code, p in zip(codes, values, strict=True):
        if math.isnan(p):
            assert code == 0
        elif p >= 1 - LEVEL:
            assert code == 1
        elif code == 65535:
            assert p <= 0.05 / found["tests"] * (1 + 1e-9)
        else:
            assert p * (1 - 1e-9) <= 0.05 * found["tests"] ** -((code - 2) / 65532) <= p * 1.001


def data_of(root: Path) -> dict:
    table = read_runs([root])
    return page_data(make_leaderboard(table), table)


def test_a_curve_has_at_most_forty_points_and_the_last_epoch(write_run: Write, tmp_path: Path) -> None:
    lines = [{"epoch": epoch, "cross_entropy": 100 - epoch} for epoch in range(95)]
    folder = write_run({"docmem": {"nll": [1.0, 2.0]}})
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    curve = data_of(tmp_path)["runs"][0]["curve"]
    assert 20 <= len(curve) <= 40 and curve[-1] == [94, 6.0]
    assert all(value == 100 - epoch for epoch, value in curve)


def test_a_damaged_curve_is_left_out_by_name(
    write_run: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_run({"docmem": {"nll": [1.0, 2.0]}})
    (folder / "metrics.jsonl").write_text('{"epoch": 0}\n')
    assert data_of(tmp_path)["runs"][0]["curve"] == []
    assert f"{folder / 'metrics.jsonl'}: left out, damaged" in " ".join(capsys.readouterr().err.split())


def test_samples_are_cut_counted_and_their_texts_kept_once(write_run: Write, tmp_path: Path) -> None:
    folder = write_run({"docmem": {"nll": [1.0, 2.0, 3.0]}})
    path = folder / "eval" / "docmem.free.samples.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    asked = {"arguments": [["Where is it? " * 30, " here"]]}
    path.write_text("".join(f"{json.dumps(record | asked)}\n" for record in records))
    data = data_of(tmp_path)
    shown = add_samples(data, read_tasks(data), most=2)
    (task,) = shown["runs"][0]["tasks"]
    assert (task["task"], task["measures"], task["of"], len(task["samples"])) == ("docmem.free", ["nll"], 3, 2)
    texts = [[shown["texts"][number] for number in sample[:4]] for sample in task["samples"]]
    prompt = ("Where is it? " * 30)[:159] + "…"
    assert texts == [[f"d{number}#0", prompt, " here", ""] for number in range(2)]
    assert [sample[4] for sample in task["samples"]] == [1.0, 2.0]
    assert len(set(shown["texts"])) == len(shown["texts"])


def test_damaged_samples_are_left_off_the_page_by_name(
    write_run: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_run({"docmem": {"nll": [1.0, 2.0]}, "docqa": {"f1": [0.0, 1.0]}})
    (folder / "eval" / "docqa.free.samples.jsonl").write_text("{")
    data = data_of(tmp_path)
    assert [task.task for task in read_tasks(data)[0]] == ["docmem.free"]
    assert f"{folder / 'eval' / 'docqa.free.json'}: no samples on the page" in " ".join(capsys.readouterr().err.split())
