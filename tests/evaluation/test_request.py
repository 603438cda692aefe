"""What can be asked of whom, and which source each task reads."""

from collections.abc import Callable
from pathlib import Path

import pytest

from simset_bench.errors import RequestError
from simset_bench.evaluation.harness import check_foreign_tasks
from simset_bench.evaluation.request import EvalRequest, check_request, check_sources
from simset_bench.evaluation.run import evaluate_runs


def test_a_task_that_reads_data_of_its_own_must_be_told() -> None:
    with pytest.raises(RequestError, match=r"task popqa reads data of its own: name it with --data, popQA.tsv or hub:"):
        check_request(EvalRequest(("popqa",)), baseline=False)
    check_request(EvalRequest(("popqa",), task_data=(("popqa", "popQA.tsv"),)), baseline=False)
    # What is named for every task is not another corpus for damage.
    assert EvalRequest(("popqa", "damage"), data="popQA.tsv").source("damage") == "corpus"


def test_an_unknown_task_is_named_with_its_near_miss() -> None:
    with pytest.raises(RequestError, match=r"unknown task 'counterfacts' \(did you mean 'counterfact'\?\): ours are"):
        check_foreign_tasks(["docmem", "counterfacts"])
    with pytest.raises(RequestError, match=r"did you mean 'hellaswag'"):
        check_foreign_tasks(["helaswag"])
    check_foreign_tasks(["hellaswag", "docmem", "location"])


def test_oracle_recall_of_lm_evals_own_tasks_is_refused_at_once(trained_run: Path) -> None:
    with pytest.raises(RequestError, match="--recall oracle: samples of lm-eval's hellaswag are about no memorised"):
        evaluate_runs([trained_run], EvalRequest(("docmem", "hellaswag"), recall="oracle"))


def test_routed_recall_of_lm_evals_own_tasks_is_asked_since_they_have_prompts() -> None:
    check_request(EvalRequest(("docmem", "hellaswag"), recall="routed"), baseline=False)


def test_recall_modes_are_refused_where_there_are_no_entries(run_of_method: Callable[[str], Path]) -> None:
    with pytest.raises(RequestError, match="--recall oracle is about entries, of which method lora has none"):
        evaluate_runs([run_of_method("lora")], EvalRequest(("docmem",), recall="oracle"))
    with pytest.raises(RequestError, match="task location measures entries, of which method full has none"):
        evaluate_runs([run_of_method("full")], EvalRequest(("location",)))


def test_limit_counts_records_or_documents(trained_run: Path) -> None:
    docmem, doccloze, counterfact = evaluate_runs(
        [trained_run], EvalRequest(("docmem", "doccloze", "counterfact"), limit=2)
    )
    assert docmem["n"]["nll"] == doccloze["n"]["nll_true"] == counterfact["n"]["nll_true_rewrite"] == 2
    assert {result["limit"] for result in (docmem, doccloze, counterfact)} == {2}


@pytest.mark.parametrize("corpus", ["vital", "people", "people:count=3"])
def test_a_corpus_without_a_file_is_a_source(corpus: str) -> None:
    check_sources(EvalRequest(("damage",), task_data=(("damage", corpus),)))
