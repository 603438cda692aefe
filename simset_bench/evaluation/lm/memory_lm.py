"""The lm-eval model: a frozen base with one run's memory attached, or bare."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch

from simset_bench.console import log_line_is_due, note, stderr, track
from simset_bench.errors import RequestError
from simset_bench.evaluation.lm.answer_calls import AnswerCalls, Call, KnownAnswers
from simset_bench.evaluation.lm.at_work import MemoryAtWork, MultiplierOf, PrefixesAtWork, document_of
from simset_bench.evaluation.lm.prefix_lm import PrefixLM
from simset_bench.evaluation.lm.request_scores import RequestScorer, TokenRequest
from simset_bench.evaluation.lm_eval_internals import Instance
from simset_bench.models.blocks import positions_of
from simset_bench.models.left_padding import writes_in_batches
from simset_bench.models.loading import Base
from simset_bench.models.memory import AttachedMemory, attached

# Pairs of context and continuation whose tokens are kept, since several runs share them.
_MOST_PAIRS = 1 << 19


def _nobody_watches() -> bool:
    return stderr.quiet or not stderr.is_terminal


class MemoryLM(PrefixLM):
    """lm-eval's transformers model, which answers with the memory that `recalling` attaches.

    Where the memory's multipliers depend on a document, a request's sample names it in the field `document`. In a
    routed mode the field `routed` names the one that was found from its prompt; without that field the prompt is routed
    here. Scores come from `RequestScorer` and answers from `AnswerCalls` where the base's attention allows it, else
    both from lm-eval's own loop, whose batches `batch_size` is for.
    """

    def __init__(self, base: Base, batch_size: int) -> None:
        super().__init__(
            pretrained=base.model, tokenizer=base.tokenizer, batch_size=batch_size, device=str(base.device)
        )
        self.base = base
        self.scorer = RequestScorer(base)
        self._encoded = lru_cache(_MOST_PAIRS)(self._encode)
        self.answer_calls = AnswerCalls(self, base, self.scorer)
        self._known: Mapping[tuple[Any, ...], KnownAnswers] = {}
        # What answers that were known had taken to write.
        self.seconds_before = 0.0
        self._batched: bool | None = None
        self._active: AttachedMemory | None = None
        self._at_work: MemoryAtWork | None = None
        self._prefixes: PrefixesAtWork | None = None
        # Documents of the requests that lm-eval's code has in hand: of each one, of all, or by prompt.
        self._documents: list[str | None] | None = None
        self._about: str | None = None
        self._document_of: dict[str, str | None] = {}
        # Prompts of which answers were begun, for lines in a log.
        self._begun, self._to_answer = 0, 0

    @contextmanager
    def recalling(self, at_work: MemoryAtWork | None) -> Iterator[None]:
        """Answer with a memory within the context; without one the bare base answers."""
        if at_work is None:
            yield
            return
        # The scorer tries the base, which it can do only while no memory is attached.
        self.scorer.usable(at_work.layer)
        with attached(self.base.model, self.base.blocks[at_work.layer], at_work.memory) as active:
            self._active, self._at_work = active, at_work
            try:
                yield
            finally:
                self._active, self._at_work = None, None

    @contextmanager
    def prefixed(self, at_work: PrefixesAtWork) -> Iterator[None]:
        """Answer each request after its document's prefix within the context, one document after another."""
        self._prefixes = at_work
        try:
            yield
        finally:
            self._prefixes = None

    @contextmanager
    def knowing(self, known: Mapping[tuple[Any, ...], KnownAnswers]) -> Iterator[None]:
        """Give answers that were written before, within the context, where a call has the key of some."""
        self._known = known
        try:
            yield
        finally:
            self._known = {}

    def continuation_tokens(self, context: str, continuation: str) -> int:
        """How many tokens of `continuation` are scored after `context`; see `_encode`."""
        return len(self.encode_pair(context, continuation)[1])

    def encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        return self._encoded(context, continuation)

    def _encode(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        """Tokens of both texts as one, split where the continuation begins.

        lm-eval splits after as many tokens as the context has alone, which is right wherever these tokens begin the
        whole text. Where a tokenizer merges across the border they do not, and lm-eval would score something that is
        no tokenisation of the text. We split by characters there: a token is the continuation's if it begins after the
        context, or holds a character of the continuation other than the white space that opens it.
        """
        context_ids, continuation_ids = super().encode_pair(context, continuation)
        whole = self.tok_encode(context + continuation)
        if continuation_ids and whole == context_ids + continuation_ids:
            return context_ids, continuation_ids
        border = len(context.rstrip())
        word = len(context + continuation) - len((context[border:] + continuation).lstrip())
        encoded = self.tokenizer(context + continuation, add_special_tokens=False, return_offsets_mapping=True)
        ids, spans = encoded["input_ids"], encoded["offset_mapping"]
        first = next((place for place, (start, end) in enumerate(spans) if start >= border or end > word), len(ids))
        opening = next((place for place in range(len(whole)) if whole[place : place + len(ids)] == ids), 0)
        # A first token that belongs to both texts has nothing before it: lm-eval's own prefix goes there.
        return (whole[:opening] + ids[:first]) or [self.prefix_token_id], ids[first:]

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        self._documents = [self._document(request) for request in requests]
        try:
            return super().loglikelihood(requests, disable_tqdm=disable_tqdm or _nobody_watches())
        finally:
            self._documents = None

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        hidden = disable_tqdm or _nobody_watches()
        at_work = self._prefixes or self._at_work
        if self._multiplier_of is None and self._prefixes is None:
            return super().loglikelihood_rolling(requests, hidden)
        if at_work is not None and at_work.route is not None and requests:
            raise RequestError(
                f"task {requests[0].task_name} scores whole texts, which have no prompt to find a document from; "
                "ask it with --recall free"
            )
        scores: list[Any] = [None] * len(requests)
        places = _places([self._document(request) for request in requests])
        for document, numbers in track(places.items(), "document by document"):
            self._about = document
            values = super().loglikelihood_rolling([requests[number] for number in numbers], disable_tqdm=True)
            for number, value in zip(numbers, values, strict=True):
                scores[number] = value
        self._about = None
        return scores

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        if self._prefixes is not None:
            return self._prefixed_answers(self._prefixes, requests, disable_tqdm)
        call = Call(self._at_work, requests)
        known = self._known.get(call.key()) if self._known else None
        if known is not None:
            self.seconds_before += known.seconds
            return known.answers
        with self._active.aside() if self._active is not None else nullcontext():
            (answers,) = self.answer_calls.answers([call])
        if answers is None:
            return self._stock_answers(requests, disable_tqdm)
        for request, answer in zip(requests, answers, strict=True):
            self.remember("generate_until", request.args, answer)
        return answers

    def _stock_answers(self, requests: list[Instance], disable_tqdm: bool) -> list[str]:
        """Answers from lm-eval's own loop."""
        answers: list[Any] = [None] * len(requests)
        self._begun, self._to_answer = 0, len(requests)
        for numbers in self._rounds(requests):
            self.begin_streams()
            # Alone, where the model would see what is beside a prompt in a batch.
            for chosen in [numbers] if self._writes_in_batches() else [[number] for number in numbers]:
                asked = [requests[number] for number in chosen]
                generated = super().generate_until(asked, disable_tqdm=disable_tqdm or _nobody_watches())
                for number, answer in zip(chosen, generated, strict=True):
                    answers[number] = answer
        if self._active is not None:
            self._active.multiplier = None
        return answers

    def _prefixed_answers(self, prefixes: PrefixesAtWork, requests: list[Instance], disable_tqdm: bool) -> list[str]:
        """Answers from lm-eval's own loop, document by document."""
        answers: list[Any] = [None] * len(requests)
        self._begun, self._to_answer = 0, len(requests)
        for document, places in _places([self._document(request) for request in requests]).items():
            self.begin_streams()
            with self.after(prefixes.of(document)):
                for chosen in [places] if self._writes_in_batches() else [[place] for place in places]:
                    asked = [requests[place] for place in chosen]
                    generated = super().generate_until(asked, disable_tqdm=disable_tqdm or _nobody_watches())
                    for place, answer in zip(chosen, generated, strict=True):
                        answers[place] = answer
        return answers

    def tok_batch_encode(
        self,
        strings: list[str],
        padding_side: str = "left",  # noqa: ARG002 - lm-eval's signature, of which it uses the third
        left_truncate_len: int | None = None,
        truncation: bool = False,  # noqa: ARG002
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Prompts as left-padded token ids and attention mask (prompts, tokens), each encoded as for scoring.

        lm-eval calls it for the prompts of each batch right before it generates from them. Its own version decides by
        the first prompt whether all get a BOS.
        """
        if self._begun and log_line_is_due():
            note(f"answering: {self._begun} of {self._to_answer}")
        self._begun += len(strings)
        if self._active is not None and self._multiplier_of is not None:
            rows = np.stack([self._multiplier_of(self._document_of[prompt]) for prompt in strings])
            self._active.multiplier = torch.from_numpy(rows[:, None]).to(self.base.device)
        encoded = [self.tok_encode(prompt, left_truncate_len=left_truncate_len) for prompt in strings]
        longest = max(map(len, encoded))
        ids = torch.full((len(encoded), longest), self.base.tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        for row, prompt_ids in enumerate(encoded):
            ids[row, longest - len(prompt_ids) :] = torch.tensor(prompt_ids)
            mask[row, longest - len(prompt_ids) :] = 1
        return ids, mask

    def tok_decode(self, tokens: Any, skip_special_tokens: bool = True) -> Any:
        """The text of token ids; None of None, the end of text of a tokenizer that has none."""
        return None if tokens is None else super().tok_decode(tokens, skip_special_tokens)

    @property
    def max_length(self) -> int:
        """The tokens that a prompt and its answer may have together."""
        return min(super().max_length, positions_of(self.base.model) or super().max_length) - self.prefix_tokens

    @property
    def prefix_token_id(self) -> int:
        """What precedes a text with nothing before it: BOS, else EOS, else the padding token, as good as any other."""
        known = super().prefix_token_id
        return self.base.tokenizer.pad_token_id if known is None else known

    def _rounds(self, requests: Sequence[Instance]) -> Iterator[list[int]]:
        """Numbers of the requests to generate at once, such that equal prompts are about the same document."""
        left = list(range(len(requests)))
        while left:
            self._document_of = {}
            now: list[int] = []
            later: list[int] = []
            for number in left:
                document, prompt = self._document(requests[number]), requests[number].args[0]
                masked = self._multiplier_of is not None
                same = not masked or self._document_of.setdefault(prompt, document) == document
                (now if same else later).append(number)
            yield now
            left = later

    def _writes_in_batches(self) -> bool:
        if self._batched is None:
            # Attention that keeps trees apart sees no padding either.
            pad = self.base.tokenizer.pad_token_id
            self._batched = self.scorer.usable(self._layer) or writes_in_batches(self.base.model, pad)
        return self._batched

    def score_tokens(
        self, requests: list[Any], disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[tuple[float, bool]]:
        documents = self._documents or [self._about] * len(requests)
        longest = max((len(context) + len(rest) for _, context, rest in requests), default=0)
        if self._prefixes is not None or not self.scorer.usable(self._layer, min(longest, self.max_length)):
            return self._plain_scores(requests, documents, disable_tqdm, override_bs)
        to_score = [
            # A context that is too long loses its beginning, as in lm-eval.
            TokenRequest(tuple(context[-(self.max_length + 1 - len(rest)) :]), tuple(rest), document)
            for (_, context, rest), document in zip(requests, documents, strict=True)
        ]
        scores = self.scorer.scores(to_score, self._active, self._layer, self._multiplier_of)
        for (texts, _, _), score in zip(requests, scores, strict=True):
            if texts is not None:
                self.remember("loglikelihood", texts, score)
        return scores

    def _plain_scores(
        self, requests: list[Any], documents: Sequence[str | None], disable_tqdm: bool, override_bs: int | None
    ) -> list[tuple[float, bool]]:
        """Scores from lm-eval's own loop, document by document where the memory depends on one."""
        # lm-eval shows a bar here even where its caller wants none.
        score = partial(super().score_tokens, override_bs=override_bs)
        hidden = disable_tqdm or _nobody_watches()
        if self._prefixes is None and (self._active is None or self._multiplier_of is None):
            return score(requests, hidden)
        scores: list[Any] = [None] * len(requests)
        for document, numbers in track(_places(documents).items(), "document by document"):
            with self._answering_about(document):
                values = score([requests[number] for number in numbers], True)
            for number, value in zip(numbers, values, strict=True):
                scores[number] = value
        return scores

    def _answering_about(self, document: str | None) -> AbstractContextManager[None]:
        """The memory, or the prefix, as a document has it."""
        if self._prefixes is not None:
            return self.after(self._prefixes.of(document))
        assert self._active is not None and self._multiplier_of is not None
        return self._active.recalling(torch.from_numpy(self._multiplier_of(document)).to(self.base.device))

    def _document(self, request: Instance) -> str | None:
        return document_of(request, self._prefixes or self._at_work)

    @property
    def _layer(self) -> int | None:
        return self._at_work.layer if self._at_work else None

    @property
    def _multiplier_of(self) -> MultiplierOf | None:
        return self._at_work.multiplier_of if self._at_work else None


def _places(documents: Sequence[str | None]) -> dict[str | None, list[int]]:
    """The numbers of the requests about each document."""
    places: dict[str | None, list[int]] = {}
    for number, document in enumerate(documents):
        places.setdefault(document, []).append(number)
    return places
