"""Keys and values that stand before a text at every block of a frozen causal LM: one learned prefix a document."""

import inspect
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from simset_bench.errors import RequestError
from simset_bench.files import write_tensors
from simset_bench.models.loading import Base
from simset_bench.strict_json import parse_json

# Two ways of computing the same logits may differ by this share of the largest, and by more below float32.
_SAME, _SAME_COARSE = {torch.float32: 1e-3}, 0.15


@dataclass(frozen=True)
class PrefixShape:
    """A prefix of `tokens` places at each of `blocks` blocks, each with `heads` keys and values of `width` numbers."""

    documents: int
    blocks: int
    heads: int
    tokens: int
    width: int


class Prefixes(nn.Module):
    """The prefixes of documents, by their numbers, float32 whatever the base's dtype.

    The keys and values at a prefix's first place, `first` (blocks, 2, heads, 1, width) each, do not learn; those at the
    others, `learned` (blocks, 2, heads, tokens - 1, width), do. Source: prefix tuning, arXiv 2101.00190, section 4,
    without its reparametrisation; Cartridges, arXiv 2506.06266, where the first place, an attention sink, is kept for
    the stability of training.
    """

    def __init__(self, shape: PrefixShape) -> None:
        super().__init__()
        self.shape = shape
        each = shape.blocks, 2, shape.heads
        room = range(shape.documents)
        self.first = nn.ParameterList(
            nn.Parameter(torch.zeros(*each, 1, shape.width), requires_grad=False) for _ in room
        )
        # One parameter a document, so that an optimiser leaves those alone that no step of a batch concerns.
        self.learned = nn.ParameterList(nn.Parameter(torch.zeros(*each, shape.tokens - 1, shape.width)) for _ in room)

    def of(self, document: int) -> Tensor:
        """A document's prefix: (blocks, 2, heads, tokens, width)."""
        return torch.cat([self.first[document], self.learned[document]], dim=3)

    @torch.no_grad()
    def begin(self, document: int, keys_values: Tensor) -> None:
        """Let a document's prefix be `keys_values` (blocks, 2, heads, tokens, width)."""
        self.first[document].copy_(keys_values[..., :1, :])
        self.learned[document].copy_(keys_values[..., 1:, :])


def after_prefixes(model: PreTrainedModel, prefixes: Sequence[Tensor]) -> dict[str, Any]:
    """Options of a model's forward or `generate` by which row i follows prefix i (blocks, 2, heads, tokens, width).

    For one pass only, which adds to the cache.
    """
    rows = torch.stack(list(prefixes), dim=2).to(model.dtype)
    cache = DynamicCache()
    for block, (keys, values) in enumerate(rows):
        cache.update(keys, values, block)
    # transformers renamed it in version 5.24.
    name = "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"
    return {name: cache, "use_cache": True}


@torch.no_grad()
def keys_and_values(base: Base, token_ids: Sequence[int]) -> Tensor:
    """Keys and values of a text at every block: (blocks, 2, heads, tokens, width) in the base's dtype.

    Raises RequestError for a model whose blocks keep anything else of a text.
    """
    ids = torch.tensor([list(token_ids)], device=base.device)
    kept = getattr(base.model(input_ids=ids, use_cache=True), "past_key_values", None)
    layers = getattr(kept, "layers", None) or []
    pairs = [(getattr(each, "keys", None), getattr(each, "values", None)) for each in layers]
    tensors = [each for pair in pairs for each in pair if isinstance(each, Tensor)]
    like = {each.shape for each in tensors}
    if len(tensors) != 2 * len(base.blocks) or len(like) != 1 or next(iter(like))[2:3] != ids.shape[1:]:
        raise _no_prefix(base)
    return torch.stack(tensors).unflatten(0, (len(base.blocks), 2)).squeeze(2)


@torch.no_grad()
def check_prefixes(base: Base) -> None:
    """Raise RequestError for a base that does not answer after keys and values as after the text that they are of."""
    ids = [5, 6, 7, 8, 9, 10]
    whole = base.model(input_ids=torch.tensor([ids], device=base.device)).logits[0, 3:].float()
    options = after_prefixes(base.model, [keys_and_values(base, ids[:3])])
    after = base.model(input_ids=torch.tensor([ids[3:]], device=base.device), **options).logits[0].float()
    if (after - whole).norm() > _SAME.get(base.dtype, _SAME_COARSE) * whole.norm():
        raise _no_prefix(base)


def _no_prefix(base: Base) -> RequestError:
    return RequestError(
        f"--method cartridge: {base.name} ({type(base.model).__name__}) does not keep keys and values of one shape for "
        "each token at every block"
    )


def save_prefixes(prefixes: Prefixes, path: Path) -> None:
    """Write prefixes, with their shape in the header. Equal prefixes give equal bytes."""
    about = {"prefixes": json.dumps(asdict(prefixes.shape), sort_keys=True)}
    write_tensors(path, dict(prefixes.named_parameters()), about)


def load_prefixes(path: Path) -> Prefixes:
    """Read what `save_prefixes` wrote. Raises RequestError for a file that is missing, damaged or of another kind."""
    if not path.is_file():
        raise RequestError(f"{path}: there is no such file")
    try:
        with safe_open(path, framework="pt") as handle:
            prefixes = Prefixes(PrefixShape(**parse_json(handle.metadata()["prefixes"])))
            prefixes.load_state_dict({name: handle.get_tensor(name) for name in handle.keys()})  # noqa: SIM118
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise RequestError(
            f"{path}: damaged, or no prefixes of simset-bench ({' '.join(str(error).split())[:160]})"
        ) from error
    return prefixes
