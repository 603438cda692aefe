"""Scores of tokens, in batches of texts of every length, against a plain pass of transformers for one text."""

import pytest
import torch
from fixtures.closeness import LOG_PROBABILITY, near

from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.probes.token_scores import BATCH, ScoredText, target_after, token_scores
from simset_bench.evaluation.subject import Subject, subject_of
from simset_bench.models.memory import attached
from simset_bench.training.open_run import LoadedRun


@pytest.fixture
def subject(lm: MemoryLM, loaded: LoadedRun) -> Subject:
    return subject_of(lm, loaded)


@pytest.fixture
def texts(subject: Subject) -> list[ScoredText]:
    """More texts than a batch holds, of lengths that go up and down, about documents and about none."""
    documents = [*subject.documents, *subject.documents[:3]]
    tokenizer = subject.lm.base.tokenizer
    made = []
    for number, document in enumerate(documents):
        ids = tokenizer(document.text).input_ids[: 12 + number * 7 % 20]
        made.append(ScoredText(tuple(ids), 1 + number % 3, document.id if number % 4 else None))
    assert len(made) > BATCH
    return made


@torch.no_grad()
def plain(lm: MemoryLM, text: ScoredText) -> tuple[list[float], list[bool]]:
    ids = torch.tensor([text.ids])
    chances = lm.base.model(ids).logits[0].double().log_softmax(-1)
    places = range(text.start, len(text.ids))
    nll = [-float(chances[place - 1, text.ids[place]]) for place in places]
    return nll, [int(chances[place - 1].argmax()) == text.ids[place] for place in places]


def test_a_bare_base_scores_as_a_plain_pass(subject: Subject, texts: list[ScoredText]) -> None:
    for text, found in zip(texts, token_scores(subject.lm.base, texts, None), strict=True):
        nll, greedy = plain(subject.lm, text)
        assert found.nll.tolist() == near(nll, LOG_PROBABILITY)
        assert found.greedy.tolist() == greedy


@pytest.mark.parametrize("recall", ["free", "oracle", "erased"])
def test_each_text_meets_the_entries_that_its_document_has(
    subject: Subject, texts: list[ScoredText], recall: str
) -> None:
    at_work = subject.memory_at_work(recall)
    assert at_work is not None
    scores = token_scores(subject.lm.base, texts, at_work)
    numbers = {document.id: number for number, document in enumerate(subject.documents)}
    base, run = subject.lm.base, subject.memory_run
    with attached(base.model, base.blocks[at_work.layer], at_work.memory) as active:
        for text, found in zip(texts, scores, strict=True):
            multiplier = torch.ones(run.memory.shape.entries)
            if text.document is not None and recall != "free":
                own = torch.from_numpy(run.allocation.mask([numbers[text.document]])[0]).float()
                multiplier = own if recall == "oracle" else 1 - own
            with active.recalling(multiplier[None, None, :]):
                nll, _ = plain(subject.lm, text)
            assert found.nll.tolist() == near(nll, LOG_PROBABILITY)


def test_a_target_is_scored_and_its_prompt_is_not(subject: Subject) -> None:
    text = target_after(subject.lm, "The mill of Orrin", " ground barley", "d0")
    tokenizer = subject.lm.base.tokenizer
    assert tokenizer.decode(text.ids[text.start :]) == " ground barley"
    assert tokenizer.decode(text.ids[: text.start], skip_special_tokens=True) == "The mill of Orrin"
    assert text.document == "d0"
