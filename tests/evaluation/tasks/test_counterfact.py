"""CounterFact scores against an independent computation by ROME's definition, and answers in question form."""

import copy
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fixtures.closeness import LOG_PROBABILITY, near
from scipy import stats

from simset_bench.corpora.facts.counterfact import read_facts
from simset_bench.corpora.facts.fact import Fact
from simset_bench.errors import RequestError
from simset_bench.evaluation.lm.at_work import MemoryAtWork
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.request import EvalRequest
from simset_bench.evaluation.run import evaluate_runs, evaluate_subject
from simset_bench.evaluation.subject import Subject
from simset_bench.evaluation.tasks.answer_scores import exact_match, normalize_answer, token_f1
from simset_bench.evaluation.tasks.scoring import score_answer, score_probe, score_samples
from simset_bench.models.loading import Base, load_base
from simset_bench.training.config import make_config
from simset_bench.training.prepare import load_documents

KINDS = ("rewrite", "paraphrase", "neighborhood")


def rome_tokens(base: Base, prompt: str, target: str) -> tuple[list[int], int]:
    """Ids of prompt and target, and where the target begins: after as many as the prompt has, as ROME's code has it."""
    text, before = base.tokenizer(f"{prompt} {target}").input_ids, base.tokenizer(prompt).input_ids
    assert text[: len(before)] == before, "ROME's definition holds for tokenizers that do not merge across the border"
    return text, len(before)


def tokens_of_pieces(base: Base, prompt: str, target: str) -> tuple[list[int], int]:
    """The same where tokens may reach across the border: the target's are those from the first that holds its text.

    Token borders are found by decoding, not by the tokenizer's offsets.
    """
    text = base.tokenizer(f"{prompt} {target}").input_ids
    starts = [len(base.tokenizer.decode(text[:number])) for number in range(len(text))]
    ends = [*starts[1:], len(prompt) + 1 + len(target)]
    place = next(n for n in range(len(text)) if starts[n] >= len(prompt) or ends[n] > len(prompt) + 1)
    return (text, place) if place else ([base.tokenizer.eos_token_id, *text], 1)


def score_of(model: torch.nn.Module, ids: list[int], start: int) -> tuple[float, bool]:
    """Mean NLL of the tokens from `start` on, and whether each is the likeliest: one text at a time, in float64."""
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
    assert logits.dtype == torch.float64
    total, right = 0.0, True
    for place in range(start, len(ids)):
        row = logits[place - 1]
        total -= float(row[ids[place]] - row.logsumexp(0))
        right = right and int(row.argmax()) == ids[place]
    return total / (len(ids) - start), right


def evaluated(
    base: Base, corpus: str, data: str, limit: int, folder: Path, task: str = "counterfact", batch: int = 8
) -> dict[str, Any]:
    """What `eval` gives for a task on CounterFact records and a bare base."""
    config = make_config(None, model=base.name, corpus=corpus, num_docs=2)
    subject = Subject(MemoryLM(base, batch), config, load_documents(config), None, folder)
    (result,) = evaluate_subject(subject, EvalRequest((task,), data=data, limit=limit))
    return result


def expected(base: Base, facts: list[Fact], cut: Callable[[Base, str, str], tuple[list[int], int]]) -> dict[str, float]:
    """All probe measures by plain loops over prompts, with the base in float64."""
    model = copy.deepcopy(base.model).double()
    found = {}
    for kind in KINDS:
        prompts = [(prompt, fact) for fact in facts for prompt in prompts_of(fact)[kind]]
        true = [score_of(model, *cut(base, prompt, fact.target_true)) for prompt, fact in prompts]
        new = [score_of(model, *cut(base, prompt, fact.target_new)) for prompt, fact in prompts]
        count = len(prompts)
        found[f"nll_true_{kind}"] = sum(nll for nll, _ in true) / count
        found[f"nll_new_{kind}"] = sum(nll for nll, _ in new) / count
        pairs = [(t, n) for (t, _), (n, _) in zip(true, new, strict=True)]
        found[f"truth_preference_{kind}"] = sum(t < n for t, n in pairs) / count
        found[f"magnitude_{kind}"] = sum(math.exp(-t) - math.exp(-n) for t, n in pairs) / count
        found[f"accuracy_{kind}"] = sum(right for _, right in true) / count
    means = [found[f"truth_preference_{kind}"] for kind in KINDS]
    found["harmonic_mean"] = stats.hmean(means) if min(means) > 0 else 0.0
    return found


def prompts_of(fact: Fact) -> dict[str, tuple[str, ...]]:
    return {"rewrite": (fact.prompt,), "paraphrase": fact.paraphrase_prompts, "neighborhood": fact.neighborhood_prompts}


@pytest.mark.parametrize("kind", ["gpt2", "gpt_neox", "sentencepiece"])
def test_scores_are_romes(base_with: Callable[[str], Base], tiny_corpus: Path, tmp_path: Path, kind: str) -> None:
    base = base_with(kind)
    result = evaluated(base, f"jsonl:{tiny_corpus}", "builtin", 6, tmp_path)
    for name, value in expected(base, read_facts("builtin")[:6], rome_tokens).items():
        assert result["measures"][name] == near(value, LOG_PROBABILITY), name


def test_scores_hold_the_whole_target_where_tokens_reach_across_the_space(
    base_with: Callable[[str], Base], tiny_corpus: Path, tmp_path: Path
) -> None:
    base = base_with("merging")
    result = evaluated(base, f"jsonl:{tiny_corpus}", "builtin", 6, tmp_path)
    for name, value in expected(base, read_facts("builtin")[:6], tokens_of_pieces).items():
        assert result["measures"][name] == near(value, LOG_PROBABILITY), name


@pytest.mark.parametrize("file", ["rome_format.json", "easyedit_format.json"])
def test_scores_on_records_of_a_file_are_romes(
    base_with: Callable[[str], Base], tiny_corpus: Path, format_data: Path, tmp_path: Path, file: str
) -> None:
    base = base_with("sentencepiece")
    source = str(format_data / "counterfact" / file)
    result = evaluated(base, f"jsonl:{tiny_corpus}", source, 4, tmp_path)
    for name, value in expected(base, read_facts(source)[:4], rome_tokens).items():
        assert result["measures"][name] == near(value, LOG_PROBABILITY), name


@pytest.mark.slow
def test_scores_of_smollm2_are_romes(format_data: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    base = load_base("smollm2-135m", "float32", "cpu")
    rome = str(format_data / "counterfact" / "rome_format.json")
    for source, limit in (("builtin", 1), (rome, 1)):
        result = evaluated(base, f"jsonl:{tiny_corpus}", source, limit, tmp_path)
        for name, value in expected(base, read_facts(source)[:limit], rome_tokens).items():
            assert result["measures"][name] == near(value, LOG_PROBABILITY), name


def test_scores_with_a_memory_are_romes_with_that_memory(trained_run: Path, loaded: Any, lm: MemoryLM) -> None:
    (result,) = evaluate_runs([trained_run], EvalRequest(("counterfact",), limit=3))
    with lm.recalling(MemoryAtWork(loaded.memory, int(loaded.config.layer))):
        wanted = expected(lm.base, read_facts("builtin")[:3], rome_tokens)
    for name, value in wanted.items():
        assert result["measures"][name] == near(value, LOG_PROBABILITY), name


def test_answers_are_scored_over_five_samples_each(trained_run: Path) -> None:
    (result,) = evaluate_runs([trained_run], EvalRequest(("counterfact",), limit=3))
    records = samples(trained_run, "counterfact.free")
    sampled = [record for record in records if "f1_sampled" in record["measures"]]
    facts = {fact.case_id: fact for fact in read_facts("builtin")[:3]}
    assert [record["sample"] for record in sampled] == list(facts)
    for record in sampled:
        (answers,) = record["responses"]
        assert len(answers) == 5 and len(set(answers)) > 1
        wanted = answers_scored(answers, [facts[record["sample"]].target_true])
        assert record["measures"] == pytest.approx(wanted)
        assert record["arguments"][0][0] == f"Question: {facts[record['sample']].question}\nAnswer:"
    assert result["n"]["f1_sampled"] == result["n"]["f1"] == 3
    how = result["generation"]
    assert how["simset_counterfact_questions"] == {
        "do_sample": True,
        "temperature": 0.7,
        "top_p": 0.9,
        "top_k": 0,
        "until": ["\n"],
        "max_gen_toks": 16,
        "samples": 5,
        "seed": 0,
    }
    assert how["simset_counterfact_answer"]["do_sample"] is False and how["simset_counterfact_answer"]["samples"] == 1


def answers_scored(answers: list[str], right: list[str]) -> dict[str, float]:
    lines = [answer.strip().split("\n")[0] for answer in answers]
    exact = [exact_match(line, right) for line in lines]
    normal = [normalize_answer(line) for line in lines]
    first_of_most = max(range(5), key=lambda number: (normal.count(normal[number]), -number))
    return {
        "exact_match_any": float(any(exact)),
        "exact_match_majority": exact[first_of_most],
        "exact_match_sampled": math.fsum(exact) / 5,
        "f1_sampled": math.fsum(token_f1(line, right) for line in lines) / 5,
    }


def test_sampled_answers_are_told_apart_by_any_majority_and_mean() -> None:
    row = {"answers": ["Paris", "City of Light"]}
    found = score_samples(row, [["Rome\nParis", " the city of light.", "Lyon", "City of Light", "Rome is it"]])
    assert found == pytest.approx(
        {
            "exact_match_any": 1.0,
            "exact_match_majority": 1.0,
            "exact_match_sampled": 0.4,
            "f1_sampled": 0.4,
        }
    )
    # Of answers given equally often the first counts.
    assert score_samples(row, [["Rome", "Paris", "Lyon", "Oslo", "Bern"]])["exact_match_majority"] == 0


def test_success_accuracy_and_exact_match_are_different_things() -> None:
    """A target can be likelier than the other, without its tokens being the likeliest, and not be what is answered."""
    row = {"kind": "rewrite", "tokens": [2, 1], "memorised": True}
    found = score_probe(row, [(-1.0, False), (-3.0, True)])
    assert found["truth_preference_rewrite"] == found["truth_preference_rewrite_memorised"] == 1
    assert found["accuracy_rewrite"] == 0
    assert found["magnitude_rewrite"] == pytest.approx(math.exp(-0.5) - math.exp(-3))
    assert score_answer({"answers": ["Paris"]}, ["Paris it is"]) == {"exact_match": 0.0, "f1": 0.5}


def test_measures_are_given_by_relation(trained_run: Path) -> None:
    (result,) = evaluate_runs([trained_run], EvalRequest(("counterfact",), limit=6))
    relations = {fact.relation for fact in read_facts("builtin")[:6]}
    groups = result["groups"]["relation"]
    assert set(groups) == relations
    records = samples(trained_run, "counterfact.free")
    for relation in relations:
        values = [
            r["measures"]["nll_true_rewrite"]
            for r in records
            if "nll_true_rewrite" in r["measures"] and r["relation"] == relation
        ]
        found = groups[relation]["nll_true_rewrite"]
        assert found["value"] == pytest.approx(sum(values) / len(values)) and found["n"] == len(values)


def test_attribute_prompts_ask_for_what_is_true_of_their_own_subjects(
    base_with: Callable[[str], Base], tiny_corpus: Path, format_data: Path, tmp_path: Path
) -> None:
    base = base_with("sentencepiece")
    source = str(format_data / "counterfact" / "rome_format.json")
    (fact,) = read_facts(source)[:1]
    result = evaluated(base, f"jsonl:{tiny_corpus}", source, 1, tmp_path, "counterfact_attributes")
    model = copy.deepcopy(base.model).double()
    true = [score_of(model, *rome_tokens(base, prompt, fact.target_new))[0] for prompt in fact.attribute_prompts]
    assert result["measures"]["nll_true_attribute"] == near(sum(true) / len(true), LOG_PROBABILITY)
    assert result["n"]["nll_true_attribute"] == 10
    with pytest.raises(RequestError, match="have no `attribute_prompts`"):
        evaluated(base, f"jsonl:{tiny_corpus}", "builtin", 1, tmp_path, "counterfact_attributes")


def test_generated_text_is_scored_by_fluency_and_by_its_document(
    base_with: Callable[[str], Base], format_data: Path, tmp_path: Path
) -> None:
    source = str(format_data / "counterfact" / "rome_format.json")
    facts = read_facts(source)
    subjects = [fact.subject for fact in facts]
    fact = next(fact for fact in facts if subjects.count(fact.subject) == 1)
    corpus = tmp_path / "corpus.jsonl"
    texts = {fact.subject: "It is told of here in a few words.", "Other": "This is another text."}
    corpus.write_text("".join(json.dumps({"title": title, "text": text}) + "\n" for title, text in texts.items()))
    result = evaluated(base_with("gpt2"), f"jsonl:{corpus}", source, 2, tmp_path, "counterfact_generation")
    assert 0 < result["measures"]["fluency"] < math.log2(200)
    assert 0 <= result["measures"]["consistency"] <= 1
    assert result["n"]["consistency"] == len(set(fact.generation_prompts)) < result["n"]["fluency"]


def test_a_base_answers_the_same_whatever_the_batch_and_the_padding_side(
    base_with: Callable[[str], Base], tiny_corpus: Path, tmp_path: Path
) -> None:
    base = base_with("sentencepiece")
    found = []
    for number, (batch, side) in enumerate([(1, "left"), (8, "right"), (3, "left")]):
        base.tokenizer.padding_side = side
        found.append(evaluated(base, f"jsonl:{tiny_corpus}", "builtin", 4, tmp_path / str(number), batch=batch))
    for other in found[1:]:
        assert other["measures"] == near(found[0]["measures"], LOG_PROBABILITY)


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
    assert result["n"]["nll_true_rewrite_memorised"] == result["n"]["f1_sampled_memorised"] == about
    # Under oracle only these can be asked: the others have no entries.
    (oracle,) = evaluate_runs([run], EvalRequest(("counterfact",), recall="oracle", limit=about + 1))
    assert oracle["n"]["nll_true_rewrite"] == about


def samples(run: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "eval" / f"{name}.samples.jsonl").read_text().splitlines()]
