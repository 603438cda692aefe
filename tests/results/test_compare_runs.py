"""Two runs, measure by measure and sample by sample."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from simset_bench.errors import RequestError
from simset_bench.results.compare_runs import (
    answer_of,
    changed_samples,
    compare_runs,
    one_run,
    prompt_of,
    target_of,
    whole_text_of,
)

Write = Callable[..., Path]
ONE, OTHER = [1.0, 2.0, 3.5, 2.5, 1.5, 3.0], [1.5, 2.0, 3.0, 4.5, 1.25, 3.0]


def test_a_difference_is_paired_by_document(write_run: Write) -> None:
    first, second = (write_run({"docmem": {"nll": values}}) for values in (ONE, OTHER))
    (pair,) = compare_runs(first, second)
    differences = np.subtract(ONE, OTHER)
    assert (pair.measure, pair.better) == ("docmem/nll", "lower")
    assert (pair.first, pair.second) == (np.mean(ONE), np.mean(OTHER))
    assert pair.difference.value == pytest.approx(differences.mean(), rel=1e-12)
    assert pair.difference.documents == 6
    assert pair.difference.effect == pytest.approx(differences.mean() / differences.std(ddof=1), rel=1e-12)
    assert pair.corrected_p == pair.difference.p_value, "there is one test"


def test_only_measures_of_both_are_compared_and_there_has_to_be_one(write_run: Write) -> None:
    first = write_run({"docmem": {"nll": ONE}, "docqa": {"f1": [0.0, 1.0]}})
    second = write_run({"docmem": {"nll": OTHER}})
    third = write_run({"docqa": {"f1": [0.0, 1.0]}})
    assert [pair.measure for pair in compare_runs(first, second)] == ["docmem/nll"]
    with pytest.raises(RequestError, match="share no measure: evaluate both on the same tasks"):
        compare_runs(second, third)


def test_changed_samples_are_those_asked_alike_largest_change_first(write_run: Write) -> None:
    first, second = (write_run({"docmem": {"nll": values}}) for values in (ONE, OTHER))
    path = second / "eval" / "docmem.free.samples.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    records[0]["prompt_hash"] = "asked otherwise"
    records[2] |= {"arguments": [["Where?", {"until": ["\n"]}]], "responses": [["there"]]}
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    changes = changed_samples(first, second, "docmem/nll")
    assert [(change.sample, change.first, change.second) for change in changes] == [
        ("d3#0", 2.5, 4.5),
        ("d2#0", 3.5, 3.0),
        ("d4#0", 1.5, 1.25),
    ]
    assert changes[1].answers == ("", "there")


def test_what_cannot_be_compared_is_refused_by_name(write_run: Write, tmp_path: Path) -> None:
    run = write_run({"docmem": {"nll": ONE}})
    with pytest.raises(RequestError, match=r"nowhere: there is no such folder"):
        one_run(tmp_path / "nowhere")
    with pytest.raises(RequestError, match=r"outputs: not a finished run or entry"):
        one_run(run.parent)
    with pytest.raises(RequestError, match=r"has no measure docmem/nl: it has docmem/nll"):
        changed_samples(run, run, "docmem/nl")
    damaged = Path(shutil.copytree(run, tmp_path / "damaged"))
    samples = damaged / "eval" / "docmem.free.samples.jsonl"
    samples.write_text("{")
    with pytest.raises(RequestError, match=r"damaged/eval/docmem.free.samples.jsonl: missing or damaged"):
        changed_samples(damaged, run, "docmem/nll")


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"arguments": [["Where?", " here"]], "responses": [[[-1.5, True]]]}, ("Where?", " here", "")),
        ({"arguments": [["Where?", {"until": ["\n"]}]], "responses": [["there", "here"]]}, ("Where?", "", "there")),
        ({"arguments": [["Where?", '{"until": []}']], "responses": ["there"]}, ("Where?", "", "there")),
        ({"arguments": [["a whole text"]]}, ("a whole text", "", "")),
        ({}, ("", "", "")),
    ],
)
def test_prompt_target_and_answer_of_a_sample(record: dict, said: tuple[str, str, str]) -> None:
    assert (prompt_of(record), target_of(record), answer_of(record)) == said


@pytest.mark.parametrize("arguments", [None, True, [], [1], [[]], ["ab"], {"a": 1}])
def test_a_sample_whose_requests_are_damaged_has_no_texts(arguments: object) -> None:
    record = {"arguments": arguments}
    assert prompt_of(record) == target_of(record) == whole_text_of(record) == ""
