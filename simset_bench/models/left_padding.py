"""Whether a model writes the same in a left-padded batch as it does alone."""

from typing import Any

import torch
from transformers import PreTrainedModel

from simset_bench.models.blocks import embedding_rows

_STEPS = 3
# Logits of one prompt may differ by this share of their norm: other shapes round in other ways.
_SAME, _COARSE = {torch.float32: 1e-3}, 0.15


@torch.no_grad()
def writes_in_batches(model: PreTrainedModel, pad: int) -> bool:
    """Whether a prompt's next tokens are the same, up to rounding, behind padding `pad` and beside a longer prompt.

    Some recurrent models do not look at the attention mask, or mix up the states of a batch.
    """
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(embedding_rows(model), (2, 12), generator=generator).to(model.device)
    mask = torch.ones_like(ids)
    ids[0, :5], mask[0, :5] = pad, 0
    options = {"max_new_tokens": _STEPS, "do_sample": False, "pad_token_id": pad, "eos_token_id": None}
    # Typed as Any, since transformers' type of a model has no `generate`.
    writer: Any = model
    options |= {"output_logits": True, "return_dict_in_generate": True}
    try:
        together = writer.generate(input_ids=ids, attention_mask=mask, **options)
    # A model that batches are foreign to may fail in any way.
    except Exception:  # noqa: BLE001
        return False
    for row, start in enumerate((5, 0)):
        prompt = ids[row : row + 1, start:]
        alone = writer.generate(input_ids=prompt, attention_mask=torch.ones_like(prompt), **options)
        texts = together.sequences[row, 12:].tolist(), alone.sequences[0, prompt.shape[1] :].tolist()
        for step in range(_STEPS):
            both = together.logits[step][row].float(), alone.logits[step][0].float()
            if not (both[0] - both[1]).norm() <= _SAME.get(model.dtype, _COARSE) * both[1].norm():
                return False
            # From the first token that rounding decided otherwise, the two go on from other texts.
            if texts[0][step] != texts[1][step]:
                break
    return True
