"""The data sets that our lm-eval tasks read."""

from pathlib import Path

import pytest

from simset_bench.errors import RequestError
from simset_bench.evaluation.tasks.lm_eval_dataset import load
from simset_bench.evaluation.tasks.rows import write_rows


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    rows = [{"document": "a", "prompt": "line\u2028separator\n", "tokens": [1, 2]}, {"document": "b", "prompt": ""}]
    write_rows(tmp_path, "part", [rows[0]] * 2)
    assert load("part", rows_folder=str(tmp_path), version=1)["test"].to_list() == [rows[0]] * 2


def test_rows_are_built_of_what_each_task_reads(tiny_gpt2: Path, tiny_corpus: Path, format_data: Path) -> None:
    """Of one source for all, of one for each, or of a task's default; one that has none must be told."""
    about = {"pretrained": str(tiny_gpt2), "corpus": f"jsonl:{tiny_corpus}", "num_docs": 1}
    relation = str(format_data / "relations" / "country_capital_city.json")
    by_default = load("damage", **about)["test"]
    assert by_default["document"][0] != load("docmem", **about)["test"]["document"][0], "another text of the corpus"
    for data in (relation, {"relations": relation, "damage": "counterfact:builtin"}):
        assert load("relations", data=data, **about)["test"]["relation"][0] == "country capital city"
    with pytest.raises(RequestError, match=r"task relations reads data of its own: name it with --metadata"):
        load("relations", **about)


def test_rows_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"eval/rows_free/docmem.jsonl: missing; `simset-bench eval"):
        load("docmem", run=str(tmp_path))
    with pytest.raises(RequestError, match="name it in --model_args pretrained="):
        load("counterfact_probes")


@pytest.mark.parametrize("line", ['{"x": Infinity}', "[" * 100_000, '{"x": 1'])
def test_rows_that_are_no_json_are_refused(line: str, tmp_path: Path) -> None:
    (tmp_path / "docmem.jsonl").write_text(f'{{"document": "a"}}\n{line}\n')
    with pytest.raises(RequestError, match=r"docmem\.jsonl: cannot be read"):
        load("docmem", rows_folder=str(tmp_path))
