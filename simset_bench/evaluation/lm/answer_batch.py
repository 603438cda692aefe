"""Answers that are written together, each by its own memory, with what they have in common computed once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from simset_bench.evaluation.lm.at_work import MemoryAtWork
from simset_bench.evaluation.lm.endings import Decoding, Endings
from simset_bench.evaluation.lm.sampling import draw_words, key_of
from simset_bench.models.key_values import KeyValues, fewest_moves
from simset_bench.models.packing import pack
from simset_bench.models.split import UpperModel, row_hidden_states

Prompt = tuple[int, ...]


@dataclass(eq=False, slots=True)
class Answer:
    """An answer to a prompt by memory number `memory`, and its `tokens` so far.

    `document` is the one that the memory's multipliers are for, `stream` names the random stream of a sampled answer.
    """

    prompt: Prompt
    memory: int
    document: str | None
    decoding: Decoding
    stream: bytes = b""
    tokens: list[int] = field(default_factory=list)


@dataclass(eq=False)
class _Lower:
    """A text as the blocks below the memories read it: the same for all memories.

    `place` is where keys and values of all of it but its last `token` are.
    """

    place: int
    token: int


@dataclass(eq=False)
class _Text:
    """A text as one memory and the blocks above it read it, and the answers that have all said the same so far."""

    place: int
    lower: _Lower
    memory: int
    document: str | None
    answers: list[Answer]


class AnswerBatch:
    """Answers on one base whose memories sit on one block; `upper` is what is above it.

    A prompt goes once through the blocks below, for all memories, and once for each memory through those above, for
    all its answers. While texts are the same token by token they stay one. An answer that ended leaves the batch.
    None among `memories` is the bare base.
    """

    def __init__(
        self,
        upper: UpperModel,
        memories: Sequence[MemoryAtWork | None],
        endings: Endings,
        most_answers: int,
        most_tokens: int,
    ) -> None:
        self._upper, self._base, self._memories, self._endings = upper, upper.base, memories, endings
        self._lower_kept, self._upper_kept = (KeyValues(upper.base.model, most_answers, most_tokens) for _ in range(2))
        self._texts: list[_Text] = []
        self._multipliers: dict[tuple[int, str | None], Tensor] = {}

    def __len__(self) -> int:
        """The number of answers that have not ended."""
        return sum(len(text.answers) for text in self._texts)

    @torch.no_grad()
    def begin(self, prompts: Mapping[Prompt, Sequence[Answer]]) -> list[Answer]:
        """Write the first token of the answers to some prompts; returns the answers that ended with it."""
        self._settle()
        packing = pack([len(prompt) for prompt in prompts], self._base.device)
        ids = torch.tensor([token for prompt in prompts for token in prompt], device=self._base.device)
        place = len(self._lower_kept.lengths)
        with self._lower_kept.beginning(packing):
            hidden = row_hidden_states(self._base, self._upper.layer, ids, packing.position_ids)
        texts, rows = [], []
        starts = np.cumsum([0] + [len(prompt) for prompt in prompts])
        for number, answers in enumerate(prompts.values()):
            lower = _Lower(place + number, -1)
            for text in self._of_memories(lower, answers):
                texts.append(text)
                rows.append(np.arange(starts[number], starts[number + 1]))
        counts = [len(each) for each in rows]
        packing = pack(counts, self._base.device)
        place = len(self._upper_kept.lengths)
        for number, text in enumerate(texts):
            text.place = place + number
        changed = self._remembered(hidden, np.concatenate(rows), texts, counts)
        with self._upper_kept.beginning(packing):
            final = self._upper.row_final(changed, packing.position_ids, packing.ends - 1)
        going_on, ended = self._choose(texts, final)
        self._texts += going_on
        return ended

    @torch.no_grad()
    def go_on(self) -> list[Answer]:
        """Write one more token of every answer; returns the answers that ended with it."""
        self._settle()
        lowers = sorted({id(text.lower): text.lower for text in self._texts}.values(), key=lambda lower: lower.place)
        ids = torch.tensor([lower.token for lower in lowers], device=self._base.device)
        with self._lower_kept.going_on() as positions:
            hidden = row_hidden_states(self._base, self._upper.layer, ids, positions)
        rows = np.array([text.lower.place for text in self._texts])
        changed = self._remembered(hidden, rows, self._texts, [1] * len(rows))
        with self._upper_kept.going_on() as positions:
            final = self._upper.row_final(changed, positions, torch.arange(len(rows), device=self._base.device))
        self._texts, ended = self._choose(self._texts, final)
        return ended

    def _of_memories(self, lower: _Lower, answers: Iterable[Answer]) -> list[_Text]:
        """A text for each memory, and each document that it is masked for."""
        texts: dict[tuple[int, str | None], _Text] = {}
        for answer in answers:
            at_work = self._memories[answer.memory]
            is_masked = at_work is not None and at_work.multiplier_of is not None
            key = answer.memory, answer.document if is_masked else None
            texts.setdefault(key, _Text(-1, lower, *key, [])).answers.append(answer)
        return list(texts.values())

    def _settle(self) -> None:
        """Give every text a place of its own, and every text below the memories, as they have branched and ended."""
        self._texts = [self._texts[number] for number in fewest_moves([text.place for text in self._texts])]
        self._upper_kept.arrange([text.place for text in self._texts])
        lowers = list({id(text.lower): text.lower for text in self._texts}.values())
        lowers = [lowers[number] for number in fewest_moves([lower.place for lower in lowers])]
        self._lower_kept.arrange([lower.place for lower in lowers])
        for place, text in enumerate(self._texts):
            text.place = place
        for place, lower in enumerate(lowers):
            lower.place = place

    def _remembered(self, hidden: Tensor, rows: np.ndarray, texts: Sequence[_Text], counts: Sequence[int]) -> Tensor:
        """What memories make of hidden states: `rows` of them, `counts[i]` for each of the texts."""
        hidden = hidden[torch.from_numpy(rows).to(hidden.device)]
        memory_of = np.repeat([text.memory for text in texts], counts)
        multipliers = [self._multiplier(text) for text in texts]
        for number in np.unique(memory_of):
            at_work = self._memories[number]
            if at_work is None:
                continue
            chosen = torch.from_numpy(np.flatnonzero(memory_of == number)).to(hidden.device)
            own = hidden[chosen]
            activations = at_work.memory.activations(own)
            if at_work.multiplier_of is not None:
                of_memory = [
                    row.expand(count, -1)
                    for row, count, text in zip(multipliers, counts, texts, strict=True)
                    if text.memory == number and row is not None
                ]
                activations = activations * torch.cat(of_memory)
            hidden[chosen] = at_work.memory.add(own, activations)
        return hidden

    def _multiplier(self, text: _Text) -> Tensor | None:
        """What a text's activations are multiplied by, (1, entries); None for 1."""
        at_work = self._memories[text.memory]
        if at_work is None or at_work.multiplier_of is None:
            return None
        key = text.memory, text.document
        if key not in self._multipliers:
            row = torch.from_numpy(at_work.multiplier_of(text.document))
            self._multipliers[key] = row[None].to(self._base.device)
        return self._multipliers[key]

    def _choose(self, texts: Sequence[_Text], final: Tensor) -> tuple[list[_Text], list[Answer]]:
        """Give every answer its next token, from the head's input (texts, width).

        Returns texts that go on and answers that ended.
        """
        logits = self._upper.head(final).float()
        words = _likeliest(texts, logits) | _drawn(texts, logits)
        lowers: dict[tuple[int, int], _Lower] = {}
        going_on: list[_Text] = []
        ended: list[Answer] = []
        for text in texts:
            branches: dict[int, _Text] = {}
            for answer in text.answers:
                token = words[id(answer)]
                answer.tokens.append(token)
                if self._endings.ended(answer.tokens, answer.decoding):
                    ended.append(answer)
                    continue
                if token not in branches:
                    key = id(text.lower), token
                    lower = lowers.setdefault(key, _Lower(text.lower.place, token))
                    branches[token] = _Text(text.place, lower, text.memory, text.document, [])
                branches[token].answers.append(answer)
            going_on += branches.values()
        return going_on, ended


def _likeliest(texts: Sequence[_Text], logits: Tensor) -> dict[int, int]:
    """The next tokens of greedy answers, by the identities of the answers."""
    greedy = [[answer for answer in text.answers if answer.decoding.sampling is None] for text in texts]
    rows = [row for row, answers in enumerate(greedy) if answers]
    chosen = logits if len(rows) == len(texts) else logits[torch.tensor(rows, dtype=torch.int64, device=logits.device)]
    words = chosen.argmax(-1).tolist()
    return {id(answer): word for row, word in zip(rows, words, strict=True) for answer in greedy[row]}


def _drawn(texts: Sequence[_Text], logits: Tensor) -> dict[int, int]:
    """The next tokens of sampled answers, by the identities of the answers."""
    drawn: dict[int, int] = {}
    kinds = dict.fromkeys(answer.decoding.sampling for text in texts for answer in text.answers)
    for sampling in kinds:
        if sampling is None:
            continue
        sampled = [[answer for answer in text.answers if answer.decoding.sampling == sampling] for text in texts]
        keys = [[key_of(answer.stream, len(answer.tokens) + 1) for answer in answers] for answers in sampled]
        for answers, words in zip(sampled, draw_words(logits, sampling, keys), strict=True):
            drawn.update(zip(map(id, answers), words, strict=True))
    return drawn
