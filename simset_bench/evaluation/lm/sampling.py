"""Sampled answers that depend on their prompt alone, not on the batch that they were drawn in."""

import hashlib
from collections import Counter
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from torch import Tensor
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

# Answers are sampled from this seed in every run, so that runs differ by their memory alone.
SAMPLING_SEED = 0


class SeededSampling(HFLM):
    """lm-eval's transformers model, with a random stream for each answer.

    A stream follows from the seed, the prompt's tokens and the number of answers to this prompt so far. So answers are
    the same in batches of any size, and the answers of two runs differ by their models alone.
    """

    _given: Counter[bytes]

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        self._given = Counter()
        return super().generate_until(requests, disable_tqdm=disable_tqdm)

    def _model_generate(self, context: Tensor, max_length: int, stop: list[str], **options: Any) -> Tensor:
        if not options.get("do_sample"):
            return super()._model_generate(context, max_length, stop, **options)
        options["do_sample"] = False
        sampling = {name: options.pop(name, None) for name in ("temperature", "top_k", "top_p")}
        real = options["attention_mask"].bool()
        streams = [self._stream(ids[kept].tolist()) for ids, kept in zip(context, real, strict=True)]
        options["logits_processor"] = LogitsProcessorList([*_warpers(**sampling), _GumbelNoise(streams)])
        return super()._model_generate(context, max_length, stop, **options)

    def _stream(self, prompt: list[int]) -> bytes:
        key = repr(prompt).encode()
        self._given[key] += 1
        return b"%d %d " % (SAMPLING_SEED, self._given[key]) + key


def _warpers(temperature: float | None, top_k: int | None, top_p: float | None) -> list[LogitsProcessor]:
    """transformers' own processors, in its order, for the options that have an effect."""
    warpers: list[LogitsProcessor] = []
    if temperature not in (None, 1.0):
        warpers.append(TemperatureLogitsWarper(temperature))
    if top_k:
        warpers.append(TopKLogitsWarper(top_k))
    if top_p is not None and top_p < 1:
        warpers.append(TopPLogitsWarper(top_p))
    return warpers


class _GumbelNoise(LogitsProcessor):
    """Adds Gumbel noise to scores (batch, words), so that their argmax is a sample of softmax(scores).

    Source: Maddison, Tarlow and Minka, A* Sampling (arXiv 1411.0030), section 2.
    """

    def __init__(self, streams: list[bytes]) -> None:
        self.streams = streams
        self.step = 0

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # noqa: ARG002 - transformers passes both
        self.step += 1
        noise = torch.stack([_uniform(stream + b" %d" % self.step, scores.shape[1]) for stream in self.streams])
        return scores.double() - (-noise.log()).log().to(scores.device)


def _uniform(key: bytes, count: int) -> Tensor:
    """`count` draws from (0, 1) in float64 that depend on `key` alone."""
    seed = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little", signed=True)
    drawn = torch.rand(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return drawn.clamp_min(torch.finfo(torch.float64).tiny)
