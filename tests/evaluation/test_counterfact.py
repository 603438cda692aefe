"""CounterFact scores against an independent computation by ROME's definition, and answers in question form."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from simset_bench.corpora.counterfact import Fact, read_facts
from simset_bench.evaluation.memory_lm import MemoryLM
from simset_bench.evaluation.metrics import exact_match, token_f1
from simset_bench.evaluation.run import EvalRequest, Subject, evaluate_runs, evaluate_subject
from simset_bench.models.loading import Base, load_base
from simset_bench.training.config import make_config
from simset_bench.training.run import load_documents

KINDS = ("rewrite", "paraphrase", "neighborhood")


def rome_nll(base: Base, prompt: str, target: str) -> float:
    """Mean NLL a target token in float32: ROME's test_batch_prediction, one prompt at a time and without padding.

    Its target tokens are those of the text after as many as the prompt has, the space before the target included.
    """
    text, before = base.tokenizer(f"{prompt} {target}").input_ids, base.tokenizer(prompt).input_ids
    assert text[: len(before)] == before, "ROME's definition holds for tokenizers that do not merge across the border"
    with torch.no_grad():
        logits = base.model(torch.tensor([text])).logits[0].float()
    logs = logits.log_softmax(-1)
    parts = [-logs[place - 1, text[place]].item() for place in range(len(before), len(text))]
    return sum(parts) / len(parts)


def nll_of_pieces(base: Base, prompt: str, target: str) -> float:
    """The same where tokens may reach across the border: the target's are those from the first that holds its text.

    Token borders are found by decoding, not by the tokenizer's offsets.
    """
    text = base.tokenizer(f"{prompt} {target}").input_ids
    starts = [len(base.tokenizer.decode(text[:number])) for number in range(len(text))]
    ends = [*starts[1:], len(prompt) + 1 + len(target)]
    place = next(n for n in range(len(text)) if starts[n] >= len(prompt) or ends[n] > len(prompt) + 1)
    given = text if place else [base.tokenizer.eos_token_id, *text]
    place += len(given) - len(text)
    with torch.no_grad():
        logs = base.model(torch.tensor([given])).logits[0].float().log_softmax(-1)
    parts = [-logs[number - 1, given[number]].item() for number in range(place, len(given))]
    return sum(parts) / len(parts)


def evaluated(base: Base, corpus: str, data: str, limit: int, folder: Path) -> dict[str, Any]:
    """What `eval --task counterfact` gives for a bare base."""
    config = make_config(None, model=base.name, corpus=corpus, num_docs=2)
    subject = Subject(folder, config, load_documents(config), None)
    (result,) = evaluate_subject(MemoryLM(base, 8), subject, EvalRequest(("counterfact",), data=data, limit=limit))
    return result


def expected(base: Base, facts: list[Fact], score: Callable[[Base, str, str], float]) -> dict[str, float]:
    """All probe measures by plain loops."""
    found = {}
    for kind in KINDS:
        prompts = [(prompt, fact) for fact in facts for prompt in prompts_of(fact)[kind]]
        true = [score(base, prompt, fact.target_true) for prompt, fact in prompts]
        new = [score(base, prompt, fact.target_new) for prompt, fact in prompts]
        found[f"nll_true_{kind}"] = sum(true) / len(true)
        found[f"nll_new_{kind}"] = sum(new) / len(new)
        found[f"truth_preference_{kind}"] = sum(t < n for t, n in zip(true, new, strict=True)) / len(true)
    return found


def prompts_of(fact: Fact) -> dict[str, tuple[str, ...]]:
    return {"rewrite": (fact.prompt,), "paraphrase": fact.paraphrase_prompts, "neighborhood": fact.neighborhood_prompts}


@pytest.mark.parametrize("kind", ["gpt2", "gpt_neox", "sentencepiece"])
def test_scores_are_romes(base_with: Callable[[str], Base], tiny_corpus: Path, tmp_path: Path, kind: str) -> None:
    base = base_with(kind)
    result = evaluated(base, f"jsonl:{tiny_corpus}", "builtin", 6, tmp_path)
    for name, value in expected(base, read_facts("builtin")[:6], rome_nll).items():
        assert result["measures"][name] == pytest.approx(value, abs=1e-3), name


def test_scores_hold_the_whole_target_where_tokens_reach_across_the_space(
    base_with: Callable[[str], Base], tiny_corpus: Path, tmp_path: Path
) -> None:
    base = base_with("merging")
    result = evaluated(base, f"jsonl:{tiny_corpus}", "builtin", 6, tmp_path)
    for name, value in expected(base, read_facts("builtin")[:6], nll_of_pieces).items():
        assert result["measures"][name] == pytest.approx(value, abs=1e-3), name


@pytest.mark.parametrize("file", ["rome_format.json", "easyedit_format.json"])
def test_scores_on_real_records_are_romes(
    base_with: Callable[[str], Base], tiny_corpus: Path, shared_data: Path, tmp_path: Path, file: str
) -> None:
    base = base_with("sentencepiece")
    source = str(shared_data / "counterfact" / file)
    result = evaluated(base, f"jsonl:{tiny_corpus}", source, 4, tmp_path)
    for name, value in expected(base, read_facts(source)[:4], rome_nll).items():
        assert result["measures"][name] == pytest.approx(value, abs=1e-3), name


@pytest.mark.slow
def test_scores_of_smollm2_are_romes(shared_data: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    base = load_base("smollm2-135m", "float32", "cpu")
    rome = str(shared_data / "counterfact" / "rome_format.json")
    for source, limit in (("builtin", 1), (rome, 1)):
        result = evaluated(base, f"jsonl:{tiny_corpus}", source, limit, tmp_path)
        for name, value in expected(base, read_facts(source)[:limit], rome_nll).items():
            assert result["measures"][name] == pytest.approx(value, abs=1e-3), name


def test_scores_with_a_memory_are_romes_with_that_memory(trained_run: Path, loaded: Any, lm: MemoryLM) -> None:
    (result,) = evaluate_runs([trained_run], EvalRequest(("counterfact",), limit=3))
    with lm.recalling(loaded.memory, int(loaded.config.layer), "free", lambda _document: None):  # type: ignore[arg-type]
        wanted = expected(lm.base, read_facts("builtin")[:3], rome_nll)
    for name, value in wanted.items():
        assert result["measures"][name] == pytest.approx(value, abs=1e-3), name


def test_answers_are_scored_over_five_samples_each(trained_run: Path) -> None:
    (result,) = evaluate_runs([trained_run], EvalRequest(("counterfact",), limit=3))
    records = samples(trained_run, "counterfact.free")
    questions = [record for record in records if "f1" in record["measures"]]
    facts = {fact.case_id: fact for fact in read_facts("builtin")[:3]}
    assert [record["sample"] for record in questions] == list(facts)
    for record in questions:
        (answers,) = record["responses"]
        assert len(answers) == 5 and len(set(answers)) > 1
        true = [facts[record["sample"]].target_true]
        assert record["measures"]["f1"] == math.fsum(token_f1(a.strip().split("\n")[0], true) for a in answers) / 5
        exact = math.fsum(exact_match(a.strip().split("\n")[0], true) for a in answers) / 5
        assert record["measures"]["exact_match"] == exact
        assert record["arguments"][0][0] == f"Question: {facts[record['sample']].question}\nAnswer:"
    assert result["n"]["f1"] == 3


def test_answers_are_the_same_in_every_evaluation(trained_run: Path) -> None:
    asked = EvalRequest(("counterfact",), limit=2)
    first = evaluate_runs([trained_run], asked), samples(trained_run, "counterfact.free")
    # Another task asked before must not move the dice.
    second = evaluate_runs([trained_run], EvalRequest(("docmem", "counterfact"), limit=2))
    assert first[0][0]["measures"] == second[1]["measures"]
    assert first[1] == samples(trained_run, "counterfact.free")


def test_records_about_memorised_documents_come_first_and_are_scored_apart(
    run_of: Callable[..., Path], tmp_path: Path
) -> None:
    facts = read_facts("builtin")
    subject = facts[-1].subject
    corpus = tmp_path / "subject.jsonl"
    texts = {
        subject: f"{subject} is a subject that is told of in two short sentences.",
        "Other": "This is another text.",
    }
    corpus.write_text("".join(json.dumps({"title": title, "text": text}) + "\n" for title, text in texts.items()))
    run = run_of(corpus=f"jsonl:{corpus}", num_docs=2, epochs=1)
    about = sum(fact.subject == subject for fact in facts)
    (result,) = evaluate_runs([run], EvalRequest(("counterfact",), limit=about + 1))
    assert result["n"]["nll_true_rewrite"] == about + 1
    assert result["n"]["nll_true_rewrite_memorised"] == result["n"]["f1_memorised"] == about
    # Under oracle only these can be asked: the others have no entries.
    (oracle,) = evaluate_runs([run], EvalRequest(("counterfact",), recall="oracle", limit=about + 1))
    assert oracle["n"]["nll_true_rewrite"] == about


def samples(run: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "eval" / f"{name}.samples.jsonl").read_text().splitlines()]
