"""A world model before it has read anything: its tokenizer, made from the text, and random weights."""

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from simset_bench.training.world.recipe import Recipe

END, PAD = "<|endoftext|>", "<|padding|>"
HEAD_WIDTH = 32
POSITIONS = 2048


def new_tokenizer(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer learnt from texts, in which every text has tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=[END, PAD], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=PAD, model_max_length=POSITIONS)


def new_model(kind: str, recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    """A causal LM of type `llama` or `gpt_neox` with weights from PyTorch's generator."""
    inner = 4 * recipe.size.width if kind == "gpt_neox" else 64 * round(recipe.size.width * 8 / 3 / 64)
    # A quarter of a head, GPT-NeoX's share, is eight numbers of these heads: too few to tell where a syllable stands.
    positions = {"rotary_pct": 1.0} if kind == "gpt_neox" else {}
    config = AutoConfig.for_model(
        kind,
        num_hidden_layers=recipe.size.blocks,
        hidden_size=recipe.size.width,
        intermediate_size=inner,
        num_attention_heads=recipe.size.width // HEAD_WIDTH,
        vocab_size=len(tokenizer),
        max_position_embeddings=POSITIONS,
        tie_word_embeddings=True,
        **positions,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return AutoModelForCausalLM.from_config(config, trust_remote_code=False)
