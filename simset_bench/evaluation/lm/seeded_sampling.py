"""lm-eval's transformers model, with answers sampled from streams of their own."""

from collections import Counter
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList

from simset_bench.evaluation.lm.sampling import Sampling, draw_words, key_of, stream_of
from simset_bench.evaluation.lm_eval_internals import StockLM


class SeededSampling(StockLM):
    """lm-eval's transformers model, with a random stream for each answer.

    A stream follows from the seed, the prompt's tokens and the number of answers to this prompt since `begin_streams`.
    So answers are the same in batches of any size, and the answers of two runs differ by their models alone.
    """

    _given: Counter[tuple[int, ...]]

    def begin_streams(self) -> None:
        """Count the answers to each prompt from 1 again."""
        self._given = Counter()

    def generate(self, context: Tensor, max_length: int, stop: list[str], **options: Any) -> Tensor:
        if not options.get("do_sample"):
            return super().generate(context, max_length, stop, **options)
        options["do_sample"] = False
        sampling = Sampling(**{name: options.pop(name, None) for name in ("temperature", "top_k", "top_p")})
        real = options["attention_mask"].bool()
        streams = [self._stream(tuple(ids[kept].tolist())) for ids, kept in zip(context, real, strict=True)]
        options["logits_processor"] = LogitsProcessorList([_OneDrawn(sampling, streams)])
        return super().generate(context, max_length, stop, **options)

    def _stream(self, prompt: tuple[int, ...]) -> bytes:
        self._given[prompt] += 1
        return stream_of(prompt, self._given[prompt])


class _OneDrawn(LogitsProcessor):
    """Leaves one word of each row of scores (batch, words), drawn from the row's own stream."""

    def __init__(self, sampling: Sampling, streams: list[bytes]) -> None:
        self.sampling = sampling
        self.streams = streams
        self.step = 0

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # noqa: ARG002 - transformers passes both
        self.step += 1
        keys = [[key_of(stream, self.step)] for stream in self.streams]
        drawn = torch.tensor(draw_words(scores, self.sampling, keys), device=scores.device)
        return torch.full_like(scores, -torch.inf).scatter_(1, drawn, 0.0)
