"""Lists of requests for answers, as lm-eval hands them over, answered together for many memories on one base."""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from simset_bench.errors import RequestError
from simset_bench.evaluation.lm.answer_batch import Answer
from simset_bench.evaluation.lm.at_work import MemoryAtWork, document_of
from simset_bench.evaluation.lm.endings import Decoding, Endings, follows_own_settings
from simset_bench.evaluation.lm.request_scores import RequestScorer
from simset_bench.evaluation.lm.sampling import Sampling, stream_of
from simset_bench.evaluation.lm.write_answers import write_answers
from simset_bench.evaluation.lm_eval_internals import Instance, StockLM, cut_answer, generation_options, stop_texts
from simset_bench.models.kept_probe import keeps_texts
from simset_bench.models.loading import Base
from simset_bench.models.packing import CannotPack

# Options of generation that are followed here; a request with another one is left to lm-eval's own loop.
_KNOWN = {"until", "max_gen_toks", "do_sample", "temperature", "top_k", "top_p"}


@dataclass(frozen=True, eq=False)
class Call:
    """What lm-eval asks of one memory at once (of the bare base where it is None), several times where it samples."""

    at_work: MemoryAtWork | None
    requests: Sequence[Instance]

    def key(self) -> tuple[Any, ...]:
        """Equal for two calls of one memory, or of the bare base, that have the same answers."""
        masked = self.at_work is not None and self.at_work.multiplier_of is not None
        return self.at_work is None, *(
            (
                request.args[0],
                document_of(request, self.at_work) if masked else None,
                json.dumps(request.args[1], sort_keys=True, default=repr),
            )
            for request in self.requests
        )


@dataclass(frozen=True)
class KnownAnswers:
    """The answers of a call, and the seconds that writing them took."""

    answers: list[str]
    seconds: float


@dataclass(frozen=True)
class _Asked:
    """An answer to be written, and how its text is cut."""

    answer: Answer
    stops: list[str]


class AnswerCalls:
    """Answers calls for one base, whose weights are as they are at the moment, without any memory attached."""

    def __init__(self, lm: StockLM, base: Base, scorer: RequestScorer) -> None:
        self._lm, self._base, self._scorer = lm, base, scorer
        self._endings: Endings | None = None
        self._tried: dict[int, bool] = {}

    def answers(self, calls: Sequence[Call]) -> list[list[str] | None]:
        """The answers of each call; None where the model or a request needs lm-eval's own loop."""
        answers: list[list[str] | None] = [None] * len(calls)
        if follows_own_settings(self._base):
            return answers
        memories: list[MemoryAtWork | None] = []
        of_layer: dict[int, list[int]] = defaultdict(list)
        asked: dict[int, list[_Asked]] = {}
        for number, call in enumerate(calls):
            if call.at_work not in memories:
                memories.append(call.at_work)
            of_call = self._asked(call, memories.index(call.at_work))
            if of_call is not None:
                asked[number] = of_call
                of_layer[self._layer(call, calls)].append(number)
        for layer, numbers in of_layer.items():
            together = [each for number in numbers for each in asked[number]]
            if not self._write(layer, memories, [each.answer for each in together]):
                continue
            for number in numbers:
                answers[number] = [self._text(each) for each in asked[number]]
        return answers

    def _layer(self, call: Call, calls: Sequence[Call]) -> int:
        """The block at which the base is cut for a call; the bare base joins other calls, since any block will do."""
        layers = [each.at_work.layer for each in (call, *calls) if each.at_work is not None]
        return layers[0] if layers else len(self._base.blocks) - 1

    def _asked(self, call: Call, memory: int) -> list[_Asked] | None:
        """The answers that a call asks for; None where it has options that are not known here."""
        asked = []
        given: Counter[tuple[tuple[int, ...], str | None]] = Counter()
        masked = call.at_work is not None and call.at_work.multiplier_of is not None
        for request in call.requests:
            prompt, options = request.args
            kwargs = generation_options(self._lm, options)
            if not set(kwargs) <= _KNOWN:
                return None
            stops = stop_texts(self._lm, kwargs["until"])
            room = self._lm.max_length - kwargs["max_gen_toks"]
            tokens = tuple(self._lm.tok_encode(prompt, left_truncate_len=room)) if room > 0 else ()
            # lm-eval says what is wrong with a prompt of no tokens, and with answers that there is no room for.
            if not tokens or kwargs["max_gen_toks"] < 1:
                return None
            document = document_of(request, call.at_work) if masked else None
            decoding, stream = Decoding(kwargs["max_gen_toks"], tuple(stops), _sampling(kwargs)), b""
            if decoding.sampling is not None:
                given[tokens, document] += 1
                stream = stream_of(tokens, given[tokens, document])
            asked.append(_Asked(Answer(tokens, memory, document, decoding, stream), stops))
        return asked

    def _write(self, layer: int, memories: Sequence[MemoryAtWork | None], answers: Sequence[Answer]) -> bool:
        """Write answers by memories on block `layer`, or return False where this model cannot write them this way."""
        longest = max(len(answer.prompt) + answer.decoding.max_tokens for answer in answers)
        try:
            upper = self._scorer.upper(layer)
        except RequestError:
            return False
        if not (upper.head_is_linear and upper.packs(longest)):
            return False
        if layer not in self._tried:
            self._tried[layer] = keeps_texts(upper)
        self._endings = self._endings or Endings(self._base)
        if not self._tried[layer]:
            return False
        try:
            write_answers(upper, memories, self._endings, answers)
        except CannotPack:
            return False
        return True

    def _text(self, asked: _Asked) -> str:
        return cut_answer(self._lm.tok_decode(asked.answer.tokens), asked.stops)


def _sampling(kwargs: dict[str, Any]) -> Sampling | None:
    if not kwargs.get("do_sample"):
        return None
    return Sampling(kwargs.get("temperature"), kwargs.get("top_k"), kwargs.get("top_p"))
