"""The loss of world models is the model's own, without the logits of what pads a text."""

import pytest
import torch
from fixtures.closeness import assert_near

from simset_bench.models.presets import WorldSize
from simset_bench.training.world.loss import ROWS, mean_nll
from simset_bench.training.world.model import new_model, new_tokenizer
from simset_bench.training.world.recipe import Recipe

RECIPE = Recipe(WorldSize(2, 32, 300, 1), people=8, times=5, leads=0, batch=4, learning_rate=1e-3)


@pytest.mark.numerical
@pytest.mark.parametrize("kind", ["llama", "gpt_neox"])
def test_loss_and_gradients_are_those_of_transformers(kind: str) -> None:
    tokenizer = new_tokenizer(["a text of words"], RECIPE.size.vocabulary)
    torch.manual_seed(0)
    model = new_model(kind, RECIPE, tokenizer)
    ids = torch.randint(2, len(tokenizer), (5, 120))
    labels = ids.clone()
    # Texts of 1 token, which predicts nothing, to 120: of all of them more than two parts that are scored at a time.
    for row, length in enumerate((120, 119, 118, 2, 1)):
        labels[row, length:] = -100
    assert (labels[:, 1:] != -100).sum() > ROWS
    theirs = model(input_ids=ids, labels=labels).loss
    theirs.backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    model.zero_grad()
    ours = mean_nll(model, ids, labels)
    ours.backward()
    assert_near(ours, theirs)
    for name, parameter in model.named_parameters():
        assert_near(parameter.grad, gradients[name])
