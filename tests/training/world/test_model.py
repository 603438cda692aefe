"""A world model before it has read anything."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from simset_bench.models.presets import WORLD_SIZES
from simset_bench.training.world.model import new_model, new_tokenizer
from simset_bench.training.world.recipe import RECIPES

TEXTS = ["The keeper was born in Varn.", "The keeper's boat lies in Varn; the boat is blue."] * 4
TOKENIZER = new_tokenizer(TEXTS, 320)


@given(text=st.text())
def test_a_tokenizer_has_tokens_for_any_text_also_for_characters_it_never_read(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER(text).input_ids) == text


def test_a_vocabulary_is_no_larger_than_wanted_and_words_that_are_read_often_are_short() -> None:
    assert len(TOKENIZER) <= 320
    assert len(TOKENIZER(" keeper").input_ids) < len(TOKENIZER(" reepek").input_ids)


@pytest.mark.parametrize("kind", ["llama", "gpt_neox"])
def test_a_model_has_the_recipes_size_and_tied_weights_from_the_generator(kind: str) -> None:
    models = []
    for seed in (0, 0, 1):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            models.append(new_model(kind, RECIPES["tiny"], TOKENIZER))
    config, size = models[0].config, WORLD_SIZES["tiny"]
    assert (config.model_type, config.num_hidden_layers, config.hidden_size) == (kind, size.blocks, size.width)
    embeddings = [model.get_input_embeddings().weight for model in models]
    assert embeddings[0] is models[0].get_output_embeddings().weight
    assert embeddings[0].shape == (len(TOKENIZER), size.width)
    assert torch.equal(embeddings[0], embeddings[1]) and not torch.equal(embeddings[0], embeddings[2])
