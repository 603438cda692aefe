"""How an answer is written, and where it ends."""

from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from simset_bench.evaluation.lm.sampling import Sampling
from simset_bench.models.loading import Base

# What a model's own settings of generation may say without changing what is written here.
_WITHOUT_EFFECT = {
    *("bos_token_id", "eos_token_id", "pad_token_id", "transformers_version", "use_cache", "max_length"),
    *("_from_model_config", "cache_implementation", "output_attentions", "output_hidden_states", "output_scores"),
    *("do_sample", "temperature", "top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff", "top_h"),
}


@dataclass(frozen=True)
class Decoding:
    """At most `max_tokens` tokens, up to the first of `stops` in the text; the likeliest ones where `sampling` is None.

    An empty text in `stops` is in every text, as for lm-eval.
    """

    max_tokens: int
    stops: tuple[str, ...] = ()
    sampling: Sampling | None = None


def follows_own_settings(base: Base) -> bool:
    """Whether a model brings settings of generation that change what it writes, such as a penalty of repetitions."""
    return not set(base.model.generation_config.to_diff_dict()) <= _WITHOUT_EFFECT


class Endings:
    """Tells where the answers of a base end."""

    def __init__(self, base: Base) -> None:
        ends = base.model.generation_config.eos_token_id
        self._ends = set(ends if isinstance(ends, list) else [ends])
        self._tokenizer: PreTrainedTokenizerBase = base.tokenizer
        self._windows: dict[str, int] = {}
        self._texts: dict[int, str] = {}

    def ended(self, tokens: list[int], decoding: Decoding) -> bool:
        """Whether an answer of these tokens, which had not ended before the last one, ends with it."""
        if len(tokens) >= decoding.max_tokens or tokens[-1] in self._ends:
            return True
        return any(self._may_complete(tokens[-1], stop) and self._is_at_end(tokens, stop) for stop in decoding.stops)

    def _may_complete(self, token: int, stop: str) -> bool:
        if token not in self._texts:
            self._texts[token] = str(self._tokenizer.decode([token]))
        # Decoding may drop a space, and several tokens may make one character beyond ASCII.
        return not stop.isascii() or stop.endswith(" ") or stop[-1:] in self._texts[token]

    def _is_at_end(self, tokens: list[int], stop: str) -> bool:
        """Whether the last tokens hold `stop`; two more are read than it takes, since its tokens may differ there."""
        if stop not in self._windows:
            self._windows[stop] = len(self._tokenizer.encode(stop, add_special_tokens=False)) + 2
        return stop in str(self._tokenizer.decode(tokens[-self._windows[stop] :]))
