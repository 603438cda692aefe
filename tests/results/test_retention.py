"""What is left of the first stage of a chain."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simset_bench.results.retention import FirstStage, a_few, first_stage, retention


def test_each_run_of_a_chain_gives_a_point(write_chain: Callable[..., list[Path]]) -> None:
    folders = write_chain([0.5, 1.5, 2.5])
    points = retention(folders[-1])
    assert [(point.later, point.scores["docmem/nll"].value) for point in points] == [(0, 0.5), (4, 1.5), (8, 2.5)]
    assert {point.documents for point in points} == {4}
    assert points[1].scores["docmem/nll"].standard_error == 0.04
    assert len({json.dumps(point.began, sort_keys=True) for point in points}) == 1
    assert retention(folders[0]) == []


def test_runs_that_are_gone_or_exchanged_are_left_out(write_chain: Callable[..., list[Path]]) -> None:
    folders = write_chain([0.5, 1.5, 2.5])
    manifest = json.loads((folders[1] / "manifest.json").read_text())
    manifest["hashes"]["memory"] = "another"
    (folders[1] / "manifest.json").write_text(json.dumps(manifest))
    assert [point.later for point in retention(folders[2])] == [0, 8]
    shutil.rmtree(folders[0])
    assert [point.later for point in retention(folders[2])] == [8]


def test_a_damaged_result_is_passed_over(write_chain: Callable[..., list[Path]]) -> None:
    folders = write_chain([0.5, 1.5])
    (folders[1] / "eval" / "docmem.free.json").write_text("{")
    assert first_stage(folders[1]).scores == {}
    assert [point.later for point in retention(folders[1])] == [0]
    (folders[1] / "manifest.json").write_text("{}")
    with pytest.raises(ValueError, match="schema"):
        retention(folders[1])


@given(steps=st.lists(st.integers(1, 400), min_size=1, max_size=300))
def test_a_long_chain_is_shown_by_its_ends_and_by_decades(steps: list[int]) -> None:
    later = [sum(steps[:number]) for number in range(len(steps) + 1)]
    points = [FirstStage(each, 4, {}, {}) for each in later]
    shown = [point.later for point in a_few(points)]
    assert shown[0] == 0 and shown[-1] == later[-1]
    assert shown == sorted(set(shown))
    if len(points) <= 12:
        assert shown == later
    for mark in (1, 10, 100, 1000):
        assert next((each for each in later if each >= mark), 0) in shown
