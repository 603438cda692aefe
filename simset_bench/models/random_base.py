"""A base with random weights, as large and as fast as a real one, for calibration and benchmarks."""

import torch
from tokenizers import Tokenizer
from tokenizers import models as tokenizer_models
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedTokenizerFast

from simset_bench.models.blocks import find_blocks
from simset_bench.models.devices import find_device, find_dtype
from simset_bench.models.loading import Base


def random_base(config: PretrainedConfig, dtype: str = "auto", device: str = "auto") -> Base:
    """A frozen base of a transformers configuration, with weights from PyTorch's generator.

    Its tokenizer knows one token, for padding. Raises RequestError for an absent device.
    """
    where = find_device(device)
    base_dtype = find_dtype(dtype, where)
    with torch.device(where):
        model = AutoModelForCausalLM.from_config(config, dtype=base_dtype, trust_remote_code=False)
    model.requires_grad_(False)
    model.eval().to(where)
    word = Tokenizer(tokenizer_models.WordLevel({"<pad>": 0}, unk_token="<pad>"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=word, pad_token="<pad>")
    width = config.get_text_config().hidden_size
    return Base("random", model, tokenizer, find_blocks(model), width, where, base_dtype, "random")


def llama_shape(blocks: int, width: int, vocabulary: int) -> PretrainedConfig:
    """The configuration of a Llama of this size, with heads of 64 and an inner width of 8/3 of the width."""
    return AutoConfig.for_model(
        "llama",
        num_hidden_layers=blocks,
        hidden_size=width,
        intermediate_size=width * 8 // 3,
        num_attention_heads=width // 64,
        num_key_value_heads=width // 64,
        vocab_size=vocabulary,
        max_position_embeddings=4096,
    )
