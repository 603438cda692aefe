"""The size of a model, without loading its weights."""

from dataclasses import dataclass

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from simset_bench.errors import RequestError
from simset_bench.models.blocks import find_blocks
from simset_bench.models.loading import local_location
from simset_bench.models.presets import PRESETS, WORLD_SIZES
from simset_bench.models.sources import find_model, is_here


@dataclass(frozen=True)
class ModelSizes:
    """Blocks, width, parameters of a block and vocabulary; not `exact` where the last two are typical values."""

    blocks: int
    width: int
    block_parameters: int
    vocabulary: int
    exact: bool


def model_sizes(name: str) -> ModelSizes:
    """Sizes of the model that `name` stands for, from its configuration if that is on this machine, else its preset.

    Without a configuration, a block is taken to have 12 width^2 parameters, as in GPT-NeoX, and a model of
    the hub 50,304 words.
    Raises RequestError for a model that is neither on this machine nor a preset.
    """
    preset = PRESETS.get(name)
    if preset and preset.source == "pretrain" and not is_here(preset):
        vocabulary = WORLD_SIZES[preset.location].vocabulary
        return ModelSizes(preset.blocks, preset.width, 12 * preset.width**2, vocabulary, exact=False)
    if preset and preset.source == "hub":
        return ModelSizes(preset.blocks, preset.width, 12 * preset.width**2, 50304, exact=False)
    return _from_config(local_location(find_model(name)))


def _from_config(location: str) -> ModelSizes:
    try:
        config = AutoConfig.from_pretrained(location, trust_remote_code=False)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    # A configuration that is damaged or of a newer library makes transformers and PyTorch raise anything.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise RequestError(f"model {location}: its configuration cannot be read ({reason})") from error
    blocks = find_blocks(model)
    text = config.get_text_config()
    parameters = sum(parameter.numel() for parameter in blocks[0].parameters())
    return ModelSizes(len(blocks), text.hidden_size, parameters, text.vocab_size, exact=True)
