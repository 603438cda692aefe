"""Finds a causal LM's decoder blocks, and the block that a layer option names."""

import math
from typing import Any, cast

from torch import nn
from transformers import PreTrainedModel

from simset_bench.errors import RequestError
from simset_bench.models.layer_names import layer_share


def find_blocks(model: PreTrainedModel) -> nn.ModuleList:
    """The `nn.ModuleList` that holds a decoder's blocks, for GPT-NeoX, Llama, GPT-2 and similar models.

    It is the list that has as many modules as the configuration has hidden layers, and is not inside another such list.
    Raises RequestError, which names every module list of the model, unless there is exactly one.
    """
    expected = model.config.get_text_config().num_hidden_layers
    lists = {name: module for name, module in model.named_modules() if isinstance(module, nn.ModuleList)}
    fitting = [name for name, blocks in lists.items() if len(blocks) == expected > 0]
    outermost = [name for name in fitting if not any(name.startswith(f"{other}.") for other in fitting)]
    if len(outermost) == 1:
        decoder = lists[outermost[0]]
        assert isinstance(decoder, nn.ModuleList)
        return decoder
    seen = ", ".join(f"{name} ({len(blocks)})" for name, blocks in lists.items()) or "none"
    raise RequestError(
        f"cannot tell the decoder blocks of {type(model).__name__}: looked for one module list of length {expected} "
        f"(num_hidden_layers), found {len(outermost)}; module lists seen: {seen}"
    )


def embedding_rows(model: PreTrainedModel) -> int:
    """How many token ids the input embedding of a model has."""
    return int(cast(nn.Embedding, model.get_input_embeddings()).weight.shape[0])


def positions_of(model: PreTrainedModel) -> int | None:
    """The tokens that a text of a model may have, None for any number.

    Some rotary embeddings (`longrope`, `dynamic`) turn otherwise where any text of a batch is longer than
    `original_max_position_embeddings`. Longer texts are left out, so that no text answers to those beside it.
    """
    config = model.config.get_text_config()
    most: list[Any] = [getattr(config, "max_position_embeddings", None)]
    # Before transformers 5 the names were others, and the number stood beside them.
    rotary = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    beside = getattr(config, "original_max_position_embeddings", None)
    for each in (rotary, *rotary.values()):
        if isinstance(each, dict) and (each.get("rope_type") or each.get("type")) in ("longrope", "dynamic"):
            most.append(each.get("original_max_position_embeddings", beside))
    return min((number for number in most if isinstance(number, int)), default=None)


def resolve_layer(layer: str | float, num_blocks: int, model_name: str) -> int:
    """Block number of `layer`: a whole number counts blocks from 0, a fraction below 1 is a share of the depth.

    A fraction f names block floor(f * num_blocks). Raises RequestError when out of range or not a number.
    """
    allowed = f"{model_name} has blocks 0 to {num_blocks - 1} (or a fraction below 1, such as 0.75)"
    text, share = str(layer).strip(), layer_share(layer, allowed)
    is_share = not text.lstrip("+-").isdecimal()
    block = math.floor(share * num_blocks) if is_share else int(share)
    if not 0 <= block < num_blocks:
        raise RequestError(f"--layer {text} is out of range: {allowed}")
    return block
