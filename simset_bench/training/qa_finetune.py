"""Q-A fine-tuning: a LoRA that learns how questions are answered, not what the answers to the probes are.

A base LM completes a prompt with likely text rather than with what it knows. The recipe is the same for every run.
"""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from simset_bench.console import track
from simset_bench.corpora.documents import same_title_key
from simset_bench.corpora.facts.builtin import builtin_facts
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


def question_pairs(probed: Iterable[str]) -> list[QuestionPair]:
    """Built-in pairs whose subject occurs in none of the `probed` texts, whatever its case.

    `probed` are all prompts, questions, subjects and titles of memorised documents of an evaluation.
    Raises RequestError where fewer than 8 pairs are left.
    """
    # Line feeds cannot occur in a key, so no subject can straddle two texts.
    everything = "\n".join({same_title_key(text) for text in probed})
    pairs = [
        QuestionPair(fact.subject, fact.question, fact.target_true)
        for fact in builtin_facts("train")
        if same_title_key(fact.subject) not in everything
    ]
    if len(pairs) < FEWEST_PAIRS:
        raise RequestError(
            f"--qa-finetune: only {len(pairs)} question-answer pairs are about subjects that are not probed, "
            f"{FEWEST_PAIRS} are needed: use --limit or another --data"
        )
    return pairs[:MOST_PAIRS]


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
        # peft says that GPT-2's weights lie the other way round, and calls what transformers is about to rename.
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
