"""Q-A fine-tuning: a LoRA that learns how questions are answered, on pairs about subjects that are not probed.

A base LM completes a prompt with likely text rather than with what it knows. The recipe is the same for every run. What
is learned is more than the form: where pairs and probes share relations, it is also which answers these have and how
common each is.
"""

import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from simset_bench.console import track
from simset_bench.corpora.documents import same_title_key
from simset_bench.corpora.facts.builtin import builtin_facts, own_answers
from simset_bench.errors import RequestError
from simset_bench.models.loading import Base

RANK, SCALE, LEARNING_RATE, EPOCHS, BATCH, MOST_PAIRS, FEWEST_PAIRS = 8, 16, 5e-4, 2, 8, 96, 8


@dataclass(frozen=True)
class QuestionPair:
    """A question about `subject` and its answer."""

    subject: str
    question: str
    answer: str


def question_prompt(question: str) -> str:
    """A question as the fine-tuning and every question task put it; the answer follows after a space."""
    return f"Question: {question}\nAnswer:"


def asked_question(prompt: str) -> str | None:
    """The question that a prompt made by `question_prompt` ends with, None where it ends with none."""
    _, asked, question = prompt.rpartition("Question: ")
    return question.removesuffix("\nAnswer:") if asked and question.endswith("\nAnswer:") else None


def question_pairs(probed: Iterable[str], targets: Iterable[str] | None = None) -> list[QuestionPair]:
    """At most 96 built-in pairs whose subject occurs in none of the `probed` texts, whatever its case.

    `probed` are all prompts, questions, subjects and titles of memorised documents of an evaluation. The built-in
    probes and these pairs have relations, wordings and answers in common: `majority_answers` says what these teach.
    With `targets`, all answers and choices of the probes, the pairs are of other relations (capitals, symbols and
    atomic numbers), no answer is a target, and no question begins like one that is probed.
    Raises RequestError where fewer than 8 pairs are left.
    """
    # Line feeds cannot occur in a key, so no subject can straddle two texts.
    everything = "\n".join({same_title_key(text) for text in probed})
    pairs = [pair for pair in _candidates(targets) if same_title_key(pair.subject) not in everything]
    if targets is not None:
        pairs = [pair for pair in pairs if _opening(pair) not in everything]
    if len(pairs) < FEWEST_PAIRS:
        raise RequestError(
            f"--qa-finetune: only {len(pairs)} question-answer pairs are about subjects that are not probed, "
            f"{FEWEST_PAIRS} are needed: use --limit or another --data"
        )
    return pairs[:MOST_PAIRS]


def _candidates(targets: Iterable[str] | None) -> list[QuestionPair]:
    if targets is None:
        return [QuestionPair(fact.subject, fact.question, fact.target_true) for fact in builtin_facts("train")]
    asked = {same_title_key(target) for target in targets}
    return [QuestionPair(*pair) for pair in own_answers() if same_title_key(pair[2]) not in asked]


def _opening(pair: QuestionPair) -> str:
    return same_title_key(wording(pair.question, pair.subject).partition("{}")[0])


def wording(question: str, subject: str) -> str:
    """The question with `{}` for its subject, with or without an article: `What is the capital of {}?`"""
    return re.sub(rf"\b(the )?{re.escape(subject)}\b", "{}", question, flags=re.IGNORECASE) if subject else question


def majority_answers(pairs: Iterable[QuestionPair]) -> dict[str, str]:
    """By wording of a question the answer that most of its pairs have, of equal ones the first.

    A model that learned the pairs and knows nothing of a probed subject does best to give this one: the floor that a
    score after fine-tuning is to be compared with.
    """
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    for pair in pairs:
        answers[wording(pair.question, pair.subject)][pair.answer] += 1
    return {asked: given.most_common(1)[0][0] for asked, given in answers.items()}


@contextmanager
def qa_finetuned(
    base: Base, pairs: Sequence[QuestionPair], seed: int, memory_at_work: AbstractContextManager[Any]
) -> Iterator[None]:
    """Train a LoRA on `pairs`, keep it in the base for the time of the context, and take it out again.

    LoRA (arXiv 2106.09685) of rank 8 on every linear map of the blocks, AdamW, two passes in batches of 8; loss on
    the answer and the line feed that ends it. `memory_at_work` attaches the run's memory, frozen, for the training.
    """
    from peft import LoraConfig, get_peft_model

    with torch.random.fork_rng(), warnings.catch_warnings():
        # peft warns that GPT-2's weights are transposed, and calls functions that transformers is about to rename.
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        config = LoraConfig(r=RANK, lora_alpha=SCALE, target_modules="all-linear", task_type="CAUSAL_LM")
        adapted = get_peft_model(base.model, config)
    try:
        with memory_at_work:
            _train(base, pairs, seed, [p for p in adapted.parameters() if p.requires_grad])
        adapted.requires_grad_(False)
        yield
    finally:
        adapted.unload()
        base.model.requires_grad_(False)


def _train(base: Base, pairs: Sequence[QuestionPair], seed: int, parameters: list[torch.nn.Parameter]) -> None:
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=0.0)
    generator = torch.Generator().manual_seed(seed)
    batches = [
        [pairs[number] for number in chosen.tolist()]
        for _ in range(EPOCHS)
        for chosen in torch.randperm(len(pairs), generator=generator).split(BATCH)
    ]
    with torch.enable_grad():
        for batch in track(batches, "question-answer fine-tuning"):
            input_ids, labels = _encode(base, batch)
            loss = base.model(input_ids=input_ids, labels=labels, use_cache=False).loss
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()


def _encode(base: Base, pairs: Sequence[QuestionPair]) -> tuple[Tensor, Tensor]:
    """Token ids (batch, tokens), right-padded, and labels that are -100 on the question and the padding."""
    tokenizer = base.tokenizer
    encoded = []
    for pair in pairs:
        prompt = question_prompt(pair.question)
        whole = tokenizer(f"{prompt} {pair.answer}\n").input_ids
        encoded.append((whole, len(tokenizer(prompt).input_ids)))
    longest = max(len(whole) for whole, _ in encoded)
    input_ids = torch.full((len(pairs), longest), tokenizer.pad_token_id)
    labels = torch.full((len(pairs), longest), -100)
    for row, (whole, asked) in enumerate(encoded):
        input_ids[row, : len(whole)] = torch.tensor(whole)
        labels[row, asked : len(whole)] = torch.tensor(whole[asked:])
    return input_ids.to(base.device), labels.to(base.device)
