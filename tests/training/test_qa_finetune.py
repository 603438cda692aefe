"""Q-A fine-tuning: what it may be taught, and that it leaves nothing behind."""

import contextlib
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from simset_bench.corpora.facts.builtin import builtin_facts
from simset_bench.corpora.facts.counterfact import read_facts
from simset_bench.corpora.facts.fact import Fact
from simset_bench.errors import RequestError
from simset_bench.models.loading import Base, load_base
from simset_bench.models.memory import Memory, MemoryShape, attached
from simset_bench.training.qa_finetune import (
    QuestionPair,
    majority_answers,
    qa_finetuned,
    question_pairs,
    question_prompt,
    wording,
)

FILES = ("rome_format.json", "easyedit_format.json", "wikipedia_matched.json")


def plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def probed_texts(facts: list[Fact]) -> list[str]:
    """All that a CounterFact evaluation asks, but the answers."""
    found = [text for fact in facts for text in (fact.subject, fact.prompt, fact.question)]
    return found + [text for fact in facts for text in (*fact.paraphrase_prompts, *fact.neighborhood_prompts)]


def assert_disjoint(pairs: list[QuestionPair], probed: list[str]) -> None:
    texts = [plain(text) for text in probed]
    for subject in {pair.subject for pair in pairs}:
        assert not any(plain(subject) in text for text in texts), subject


def test_qa_subjects_are_disjoint_from_the_builtin_probes() -> None:
    facts = builtin_facts("probe")
    pairs = question_pairs(probed_texts(facts))
    assert len(pairs) >= 50
    assert_disjoint(pairs, probed_texts(facts))
    assert not {pair.subject for pair in pairs} & {fact.subject for fact in facts}


@pytest.mark.parametrize("file", FILES)
def test_qa_subjects_are_disjoint_from_the_probes_of_a_file(format_data: Path, file: str) -> None:
    facts = read_facts(str(format_data / "counterfact" / file))
    pairs = question_pairs(probed_texts(facts))
    assert len(pairs) >= 50
    assert_disjoint(pairs, probed_texts(facts))


def test_qa_subjects_are_disjoint_from_titles_and_prompts_whatever_their_case() -> None:
    subjects = list(dict.fromkeys(pair.subject for pair in question_pairs([])))
    probed = [subjects[0].upper(), f"They say that  {subjects[1]}\nlies far away", subjects[2]]
    found = {pair.subject for pair in question_pairs(probed)}
    assert not found & set(subjects[:3])
    assert found


def probed_targets(facts: list[Fact]) -> list[str]:
    return [target for fact in facts for target in (*fact.answers, fact.target_new)]


@pytest.mark.parametrize("file", FILES)
def test_pairs_with_targets_of_their_own_share_nothing_with_the_probes_of_a_file(format_data: Path, file: str) -> None:
    assert_nothing_shared(read_facts(str(format_data / "counterfact" / file)))


def test_pairs_with_targets_of_their_own_share_nothing_with_the_builtin_probes() -> None:
    assert_nothing_shared(read_facts("builtin"))


def assert_nothing_shared(facts: list[Fact]) -> None:
    """No subject, target or wording."""
    pairs = question_pairs(probed_texts(facts), probed_targets(facts))
    assert len(pairs) >= 30
    assert_disjoint(pairs, probed_texts(facts))
    assert not {plain(pair.answer) for pair in pairs} & {plain(target) for target in probed_targets(facts)}
    asked = {wording(fact.question, fact.subject) for fact in facts}
    assert not {wording(pair.question, pair.subject) for pair in pairs} & asked


def test_pairs_share_targets_and_wordings_where_nothing_else_is_asked_for() -> None:
    """What the split by subjects leaves in common, and what a model that learned only this would score."""
    facts = builtin_facts("probe")
    pairs = question_pairs(probed_texts(facts))
    shared = sum(fact.target_true in {pair.answer for pair in pairs} for fact in facts) / len(facts)
    assert shared == pytest.approx(0.757, abs=0.001)
    majority = majority_answers(pairs)
    counts: dict[str, list[str]] = {}
    by_question = {fact.question: fact.relation for fact in builtin_facts("train")}
    for pair in pairs:
        counts.setdefault(str(by_question[pair.question]), []).append(pair.answer)
    commonest = {relation: max(given, key=given.count) for relation, given in counts.items()}
    floor = sum(commonest[str(fact.relation)] == fact.target_true for fact in facts) / len(facts)
    found = sum(majority.get(wording(fact.question, fact.subject)) == fact.target_true for fact in facts) / len(facts)
    assert found == floor == pytest.approx(0.289, abs=0.001)


def test_a_wording_is_a_question_without_its_subject_and_article() -> None:
    assert wording("Which continent is the Netherlands part of?", "Netherlands") == "Which continent is {} part of?"
    assert wording("In which century was gold discovered?", "Gold") == "In which century was {} discovered?"
    assert wording("Who ate the golden goose?", "gold") == "Who ate the golden goose?"
    assert wording("Who?", "") == "Who?"


def test_the_majority_answer_is_the_commonest_of_a_wording_and_of_equal_ones_the_first() -> None:
    asked = [("Peru", "soles"), ("Chad", "francs"), ("Mali", "francs"), ("Cuba", "pesos")]
    pairs = [QuestionPair(subject, f"How does {subject} pay?", answer) for subject, answer in asked]
    assert majority_answers(pairs) == {"How does {} pay?": "francs"}
    assert majority_answers(pairs[:2]) == {"How does {} pay?": "soles"}
    assert majority_answers([]) == {}


def test_pairs_are_the_same_for_every_run_that_is_asked_the_same() -> None:
    probed = ["some title", "some prompt"]
    assert question_pairs(probed) == question_pairs(reversed(probed)) == question_pairs([*probed, "another title"])


def test_too_few_pairs_are_refused() -> None:
    every = [fact.subject for fact in builtin_facts("train")]
    with pytest.raises(RequestError, match=r"--qa-finetune: only 0 question-answer pairs .*8 are needed"):
        question_pairs(every)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gpt_neox"])
def test_the_base_comes_back_bit_for_bit_and_the_memory_is_not_trained(
    tiny_model: Callable[[str], Path], kind: str
) -> None:
    base = load_base(str(tiny_model(kind)), "float32", "cpu")
    memory = Memory(MemoryShape(32, base.width), torch.Generator().manual_seed(0)).requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in base.model.state_dict().items()}
    frozen = {name: tensor.clone() for name, tensor in memory.state_dict().items()}
    modules = [type(module) for module in base.model.modules()]
    ids = torch.arange(2, 40)[None]
    plain_logits = base.model(ids).logits
    with qa_finetuned(base, question_pairs([])[:16], 0, attached(base.model, base.blocks[1], memory)):
        assert (base.model(ids).logits - plain_logits).abs().max() > 1e-3, "nothing was learned"
        assert not any(parameter.requires_grad for parameter in base.model.parameters())
    after = base.model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert all(torch.equal(memory.state_dict()[name], tensor) for name, tensor in frozen.items())
    assert [type(module) for module in base.model.modules()] == modules
    assert torch.equal(base.model(ids).logits, plain_logits)
    assert not any(parameter.requires_grad for parameter in base.model.parameters())
    assert all(parameter.grad is None for parameter in [*base.model.parameters(), *memory.parameters()])


def test_the_base_comes_back_where_the_work_within_fails(tiny_model: Callable[[str], Path]) -> None:
    base = load_base(str(tiny_model("llama")), "float32", "cpu")
    before = {name: tensor.clone() for name, tensor in base.model.state_dict().items()}
    with pytest.raises(KeyboardInterrupt), qa_finetuned(base, question_pairs([])[:8], 0, contextlib.nullcontext()):
        raise KeyboardInterrupt
    after = base.model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_answers_become_likelier_and_only_they_are_learned(tiny_model: Callable[[str], Path]) -> None:
    base = load_base(str(tiny_model("llama")), "float32", "cpu")
    pairs = question_pairs([])[:48]

    def nll() -> float:
        return sum(answer_nll(base, pair) for pair in pairs) / len(pairs)

    before = nll()
    with qa_finetuned(base, pairs, 0, contextlib.nullcontext()):
        assert nll() < before - 0.2
    assert nll() == before


def test_the_same_pairs_and_seed_teach_the_same(tiny_model: Callable[[str], Path]) -> None:
    ids = torch.arange(2, 40)[None]
    found = []
    for seed in (0, 0, 1):
        # Whatever was drawn before, the seed alone decides.
        torch.manual_seed(len(found))
        base = load_base(str(tiny_model("gpt_neox")), "float32", "cpu")
        with qa_finetuned(base, question_pairs([])[:16], seed, contextlib.nullcontext()):
            found.append(base.model(ids).logits.detach())
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_a_second_fine_tuning_is_as_the_first(tiny_model: Callable[[str], Path]) -> None:
    """Nothing of the first is left for the second to start from."""
    base = load_base(str(tiny_model("llama")), "float32", "cpu")
    ids = torch.arange(2, 40)[None]
    found = []
    for _ in range(2):
        with qa_finetuned(base, question_pairs([])[:16], 0, contextlib.nullcontext()):
            found.append(base.model(ids).logits.detach())
    assert torch.equal(*found)


@torch.no_grad()
def answer_nll(base: Base, pair: QuestionPair) -> float:
    prompt = base.tokenizer(question_prompt(pair.question)).input_ids
    whole = base.tokenizer(f"{question_prompt(pair.question)} {pair.answer}\n").input_ids
    logs = base.model(torch.tensor([whole])).logits[0].log_softmax(-1)
    parts = [-logs[place - 1, whole[place]].item() for place in range(len(prompt), len(whole))]
    return sum(parts) / len(parts)
