"""Which models write in batches what they write alone."""

from collections.abc import Callable

import pytest
import torch

from simset_bench.models.left_padding import writes_in_batches
from simset_bench.models.loading import Base


@pytest.mark.parametrize("kind", ["llama", "gpt2", "bloom", "mamba", "lfm2", "mistral"])
def test_models_that_mask_their_padding_write_in_batches(tiny_base: Callable[[str], Base], kind: str) -> None:
    assert writes_in_batches(tiny_base(kind).model, 0)


def test_a_model_that_mixes_up_a_batch_is_seen(tiny_base: Callable[[str], Base]) -> None:
    """Transformers' RWKV does not look at the attention mask."""
    assert not writes_in_batches(tiny_base("rwkv").model, 0)


def test_a_model_that_sees_its_padding_is_seen(
    tiny_base: Callable[[str], Base], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_base("llama").model
    forward = model.forward

    def blind(*inputs: object, attention_mask: torch.Tensor | None = None, **options: object) -> object:
        seen = None if attention_mask is None else torch.ones_like(attention_mask)
        return forward(*inputs, attention_mask=seen, **options)

    monkeypatch.setattr(model, "forward", blind)
    assert not writes_in_batches(model, 0)


def test_a_model_that_fails_on_a_batch_writes_alone(
    tiny_base: Callable[[str], Base], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As transformers' xLSTM does, whose states are those of one text."""
    model = tiny_base("llama").model

    def fail(**_options: object) -> object:
        raise ValueError("wrong shape")

    monkeypatch.setattr(model, "forward", fail)
    assert not writes_in_batches(model, 0)
