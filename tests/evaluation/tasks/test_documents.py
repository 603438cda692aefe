"""Memorised documents: NLL, perplexity and verbatim continuation against plain loops, and damage to others."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fixtures.closeness import LOG_PROBABILITY, OF_A_MODEL, near
from fixtures.runs import load_run
from rouge_score import rouge_scorer

from simset_bench.corpora.documents import Document
from simset_bench.corpora.load import load_corpus
from simset_bench.errors import RequestError
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.request import EvalRequest
from simset_bench.evaluation.run import evaluate_runs, evaluate_subject
from simset_bench.evaluation.subject import Subject
from simset_bench.evaluation.task_options import TaskOptions
from simset_bench.evaluation.tasks.documents import CONTINUATION_TOKENS, PREFIX_TOKENS, token_ends
from simset_bench.evaluation.tasks.table import OUR_TASKS
from simset_bench.models.loading import Base
from simset_bench.models.memory import Memory, attached
from simset_bench.training.config import TrainConfig, make_config
from simset_bench.training.data.segments import segment_documents
from simset_bench.training.open_run import LoadedRun
from simset_bench.training.prepare import load_documents


def token_nlls(base: Base, text: str, memory: Memory | None, layer: int) -> list[float]:
    """NLL of each token of `text` but its first, by one forward of the whole model with the memory hooked on."""
    ids = base.tokenizer(text, return_tensors="pt").input_ids
    own = len(base.tokenizer(text, add_special_tokens=False).input_ids)
    with torch.no_grad():
        if memory is None:
            logits = base.model(ids).logits[0]
        else:
            with attached(base.model, base.blocks[layer], memory):
                logits = base.model(ids).logits[0]
    logs = logits.double().log_softmax(-1)
    first = ids.shape[1] - own + 1
    return [-logs[place - 1, ids[0, place]].item() for place in range(first, ids.shape[1])]


def samples(run: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "eval" / f"{name}.samples.jsonl").read_text().splitlines()]


def edit_distance(one: str, other: str) -> int:
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, start=1):
        previous, row[0] = row[0], i
        for j, b in enumerate(other, start=1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (a != b))
    return row[-1]


@pytest.mark.parametrize("max_tokens", [128, 20])
def test_nll_and_perplexity_are_those_of_a_plain_loop(
    run_of: Callable[..., Path], lm: MemoryLM, max_tokens: int
) -> None:
    """Also for documents longer than `max_tokens`, whose segments count by their tokens."""
    run = load_run(run_of(max_tokens=max_tokens))
    (result,) = evaluate_runs([run.folder], EvalRequest(("docmem",)))
    segments = segment_documents(run.documents, lm.base.tokenizer, max_tokens)
    memory, layer = run.memory, int(run.config.layer)
    nlls = [nll for segment in segments for nll in token_nlls(lm.base, segment.text, memory, layer)]
    assert result["measures"]["nll"] == near(math.fsum(nlls) / len(nlls), LOG_PROBABILITY)
    assert result["measures"]["perplexity"] == near(math.exp(math.fsum(nlls) / len(nlls)), roundings=8 * OF_A_MODEL)
    assert result["n"]["nll"] == len(segments)


def test_nll_is_the_last_that_training_saw(trained_run: Path, lm: MemoryLM, loaded: LoadedRun) -> None:
    """The same tokens are scored as were trained: their loss in the last epoch is near, and nowhere near the base's."""
    (result,) = evaluate_runs([trained_run], EvalRequest(("docmem",)))
    trained = json.loads((trained_run / "metrics.jsonl").read_text().splitlines()[-1])["cross_entropy"]
    bare = [nll for document in loaded.documents for nll in token_nlls(lm.base, document.text, None, 0)]
    assert abs(result["measures"]["nll"] - trained) < 0.1 < 1 < math.fsum(bare) / len(bare)


def test_continuations_are_greedy_and_scored_against_the_documents_own(
    trained_run: Path, loaded: LoadedRun, lm: MemoryLM
) -> None:
    (result,) = evaluate_runs([trained_run], EvalRequest(("docmem",)))
    records = [record for record in samples(trained_run, "docmem.free") if "rouge_l" in record["measures"]]
    tokenizer, layer = lm.base.tokenizer, int(loaded.config.layer)
    rouge = rouge_scorer.RougeScorer(["rougeL"])
    exact = []
    for record, document in zip(records, loaded.documents, strict=True):
        ids = tokenizer(document.text, add_special_tokens=False).input_ids
        prefix, rest = ids[:PREFIX_TOKENS], ids[PREFIX_TOKENS : PREFIX_TOKENS + CONTINUATION_TOKENS]
        if len(ids) < 2 * PREFIX_TOKENS:
            prefix, rest = ids[: len(ids) // 2], ids[len(ids) // 2 :][:CONTINUATION_TOKENS]
        prompt, target = tokenizer.decode(prefix), tokenizer.decode(rest).strip()
        given = tokenizer(prompt, return_tensors="pt").input_ids
        with attached(lm.base.model, lm.base.blocks[layer], loaded.memory):
            out = lm.base.model.generate(given, max_new_tokens=40, do_sample=False, pad_token_id=0)
        found = tokenizer.decode(out[0, given.shape[1] :], skip_special_tokens=True).strip()[: len(target)]
        measures = record["measures"]
        assert measures["exact_match"] == float(found == target)
        assert measures["edit_similarity"] == pytest.approx(
            1 - edit_distance(found, target) / max(len(found), len(target))
        )
        assert measures["rouge_l"] == pytest.approx(rouge.score(target, found)["rougeL"].fmeasure)
        exact.append(measures["exact_match"])
    assert sum(exact) > 0, "this run repeats some of its documents"
    assert result["measures"]["exact_match"] == sum(exact) / len(exact)


def test_recall_modes_order_as_they_must_where_entries_are_disjoint(run_of: Callable[..., Path]) -> None:
    run = run_of(allocation="partitioned", location="hard")
    nll = {
        recall: evaluate_runs([run], EvalRequest(("docmem",), recall=recall))[0]["measures"]["nll"]
        for recall in ("free", "oracle", "erased")
    }
    assert nll["oracle"] < nll["free"] < nll["erased"]


def test_oracle_of_no_structure_is_free(run_of: Callable[..., Path]) -> None:
    run = run_of(allocation="none")
    free, oracle = (evaluate_runs([run], EvalRequest(("docmem",), recall=recall))[0] for recall in ("free", "oracle"))
    for name, value in free["measures"].items():
        assert oracle["measures"][name] == near(value, roundings=8 * OF_A_MODEL), name


def test_damage_is_measured_on_documents_that_were_not_memorised(
    trained_run: Path, loaded: LoadedRun, lm: MemoryLM, tiny_corpus: Path
) -> None:
    (result,) = evaluate_runs([trained_run], EvalRequest(("damage",), limit=5))
    others = load_corpus(f"jsonl:{tiny_corpus}")[8:13]
    assert [record["document"] for record in samples(trained_run, "damage.free")] == [other.id for other in others]
    with_memory, bare = (
        [token_nlls(lm.base, other.text, memory, int(loaded.config.layer)) for other in others]
        for memory in (loaded.memory, None)
    )
    total = sum(map(len, bare))
    mean, mean_bare = (math.fsum(nll for text in texts for nll in text) / total for texts in (with_memory, bare))
    measures = result["measures"]
    assert measures["nll"] == near(mean, LOG_PROBABILITY)
    assert measures["perplexity"] == near(math.exp(mean), roundings=8 * OF_A_MODEL)
    assert measures["nll_base"] == near(mean_bare, LOG_PROBABILITY)
    assert measures["perplexity_base"] == near(math.exp(mean_bare), roundings=8 * OF_A_MODEL)
    assert measures["nll_rise"] == near(mean - mean_bare, LOG_PROBABILITY)
    # Paired, the rise is known better than either of the two.
    assert result["standard_errors"]["nll_rise"] > 0


def test_damage_is_on_documents_outside_the_matched_subjects_too(run_of: Callable[..., Path], tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    titles = ["France", "A dull stone", "Chad", "A dull stick"]
    corpus.write_text("".join(json.dumps({"title": t, "text": f"{t} is told of here."}) + "\n" for t in titles))
    run = run_of(corpus=f"jsonl:{corpus}", num_docs=1, match_subjects="builtin", epochs=1)
    (memorised,) = [document.id for document in load_run(run).documents]
    evaluate_runs([run], EvalRequest(("damage",)))
    assert [record["document"] for record in samples(run, "damage.free")] == [t for t in titles if t != memorised]


def test_damage_is_asked_of_other_corpora_and_of_counterfacts_neighbors(
    trained_run: Path, format_data: Path, tmp_path: Path
) -> None:
    wiki = f"wikitext:{format_data / 'wikitext' / 'wikitext2_valid.txt'}"
    asked = EvalRequest(("damage",), limit=2, task_data=(("damage", wiki),))
    (result,) = evaluate_runs([trained_run], asked)
    assert result["label"] == "damage:wikitext2_valid" and result["n"]["nll_rise"] == 2
    found = EvalRequest(("damage",), limit=2, task_data=(("damage", "counterfact:builtin"),))
    (result,) = evaluate_runs([trained_run], found)
    assert result["n"]["nll_rise"] > 2 and result["label"] == "damage:counterfact_builtin"
    assert {"nll", "nll_base", "nll_rise"} <= set(result["measures"])


def test_docqa_needs_questions_and_damage_other_documents(
    lm: MemoryLM, tiny_config: TrainConfig, tmp_path: Path
) -> None:
    documents = load_documents(tiny_config)
    with pytest.raises(RequestError, match=r"docqa: corpus jsonl:.* has no questions \(squad:FILE has\)"):
        OUR_TASKS["docqa"].rows(Subject(lm, tiny_config, documents, None, tmp_path), TaskOptions())
    corpus = tmp_path / "one.jsonl"
    corpus.write_text('{"id": "only", "text": "One text and no other."}\n')
    config = make_config(None, corpus=f"jsonl:{corpus}", num_docs=1)
    subject = Subject(lm, config, load_documents(config), None, tmp_path)
    with pytest.raises(RequestError, match=r"damage: corpus jsonl:.* has no document that was not memorised"):
        OUR_TASKS["damage"].rows(subject, TaskOptions(source="corpus"))
    with pytest.raises(RequestError, match="doccloze: no sentence"):
        OUR_TASKS["doccloze"].rows(subject, TaskOptions())


@pytest.mark.parametrize("text", ["Plain words.", "naïve – déjà vu", "数学 is 1.", "👩‍🚀 flew", "á"])
def test_token_ends_rise_to_the_end_of_the_text(base_with: Callable[[str], Base], text: str) -> None:
    for kind in ("gpt2", "sentencepiece"):
        ends = token_ends(text, base_with(kind).tokenizer)
        assert ends == sorted(set(ends)) and ends[-1] == len(text)


def test_documents_of_odd_characters_are_scored(lm: MemoryLM, tmp_path: Path) -> None:
    texts = ["数学", "👩‍🚀👩‍🚀 flew", "\u2028 a line", "ﬁn\u0301e and well"]
    documents = [Document(str(n), f"t{n}", text.strip()) for n, text in enumerate(texts)]
    config = make_config(None, model="m", corpus="jsonl:x", num_docs=len(texts))
    (result,) = evaluate_subject(Subject(lm, config, documents, None, tmp_path), EvalRequest(("docmem",)))
    assert result["n"]["nll"] == len(texts)
