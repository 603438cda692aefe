"""The result of one task on disk: found again by what it stands for, and by nothing else."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from simset_bench.corpora.documents import Document
from simset_bench.evaluation.estimates import Estimate, Scored
from simset_bench.evaluation.probes.records import record, scored
from simset_bench.evaluation.result_files import ResultKey, find_result, write_result
from simset_bench.training.qa_finetune import QuestionPair

KEY = ResultKey("location", "free", None, None, "0" * 64, "float32", None)
PAIRS = (QuestionPair("Peru", "How does Peru pay?", "soles"),)


@pytest.fixture
def of_two() -> Scored:
    shares = {"a": 0.0, "b": 1.0}
    return scored([record(Document(name, "", ""), name, "x", {"on_share": share}) for name, share in shares.items()])


def test_a_result_is_found_again_as_it_was_written(tmp_path: Path, of_two: Scored) -> None:
    written = write_result(tmp_path, KEY, of_two, {}, 1.5)
    assert find_result(tmp_path, KEY) == written
    assert (written["measures"], written["n"]) == ({"on_share": 0.5}, {"on_share": 2})
    lines = (tmp_path / "location.free.samples.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == of_two.samples


@pytest.mark.parametrize(
    "change",
    [{"limit": 3}, {"data_sha256": "1" * 64}, {"dtype": "bfloat16"}, {"control": True}, {"recall": "oracle"}],
    ids=str,
)
def test_a_result_of_another_question_does_not_count(tmp_path: Path, of_two: Scored, change: dict) -> None:
    write_result(tmp_path, KEY, of_two, {}, 1.5)
    assert find_result(tmp_path, replace(KEY, **change)) is None


@pytest.mark.parametrize("text", [b"{", b"[]", b"\xff", b""])
def test_a_damaged_result_does_not_count(tmp_path: Path, of_two: Scored, text: bytes) -> None:
    write_result(tmp_path, KEY, of_two, {}, 1.5)
    (tmp_path / "location.free.json").write_bytes(text)
    assert find_result(tmp_path, KEY) is None


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("location.free.json", '"on_share": 0.5', '"on_share": 0.25'),
        ("location.free.json", '"on_share": 0.5', '"on_share": NaN'),
        ("location.free.json", '"on_share": 2', '"on_share": 3'),
        ("location.free.json", '"measures"', '"measure"'),
        ("location.free.samples.jsonl", '"on_share": 1.0', '"on_share": 0.0'),
        ("location.free.samples.jsonl", '"measures"', '"measure"'),
        ("location.free.samples.jsonl", "}\n", "}"),
        ("location.free.samples.jsonl", "{", ""),
    ],
)
def test_a_result_that_its_samples_do_not_give_does_not_count(
    tmp_path: Path, of_two: Scored, file: str, before: str, after: str
) -> None:
    write_result(tmp_path, KEY, of_two, {}, 1.5)
    text = (tmp_path / file).read_text()
    assert before in text
    (tmp_path / file).write_text(text.replace(before, after))
    assert find_result(tmp_path, KEY) is None
    write_result(tmp_path, KEY, of_two, {}, 1.5)
    (tmp_path / "location.free.samples.jsonl").unlink()
    assert find_result(tmp_path, KEY) is None


def test_a_result_in_float32_stands_for_one_in_a_coarser_dtype(tmp_path: Path, of_two: Scored) -> None:
    coarse = replace(KEY, dtype="bfloat16")
    written = write_result(tmp_path, KEY, of_two, {}, 1.5)
    assert find_result(tmp_path, coarse, any_finer=True) == written
    assert find_result(tmp_path, coarse) is None
    write_result(tmp_path, coarse, of_two, {}, 1.5)
    assert find_result(tmp_path, KEY, any_finer=True) is None


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_leaves_no_file(tmp_path: Path, of_two: Scored, value: float) -> None:
    broken = replace(of_two, estimates={"on_share": Estimate(value, None, 2)})
    with pytest.raises(RuntimeError, match=f"task location: on_share is {value}"):
        write_result(tmp_path, KEY, broken, {}, 1.5)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "stem"),
    [
        ({"task": "../../mills"}, "..-..-mills.free"),
        ({}, "location.free"),
        ({"data": "builtin", "recall": "oracle"}, "location.oracle"),
        ({"data": "some/where/my file.json"}, "location-my_file.free"),
        ({"pairs": PAIRS}, "location.free.qa"),
        ({"pairs": PAIRS, "qa_disjoint": "targets"}, "location.free.qa-targets"),
    ],
)
def test_files_are_named_after_what_was_asked(change: dict, stem: str) -> None:
    assert replace(KEY, **change).stem == stem


def test_what_a_killed_evaluation_left_is_removed(tmp_path: Path, of_two: Scored) -> None:
    (tmp_path / "rows_free").mkdir()
    for name in (".docmem.free.samples.jsonl.0123abcd.jsonl", "rows_free/.docmem.jsonl.0123abcd.jsonl"):
        (tmp_path / name).write_text("half")
    write_result(tmp_path, replace(KEY, task="docmem"), of_two, {"docmem": [], "docmem_continuation": []}, 1.5)
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]
