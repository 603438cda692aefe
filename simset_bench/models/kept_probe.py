"""Whether texts can be written token by token with their keys and values kept."""

import torch
from torch import Tensor

from simset_bench.models.blocks import embedding_rows
from simset_bench.models.key_values import KeyValues
from simset_bench.models.packing import pack
from simset_bench.models.split import UpperModel, hidden_states, row_hidden_states

# The norms of what the head is given may differ by this share: other shapes round in other ways.
_SAME, _SAME_COARSE = {torch.float32: 1e-3}, 0.15
_LENGTHS, _BEGUN = (9, 12), (3, 7)


@torch.no_grad()
def keeps_texts(upper: UpperModel) -> bool:
    """Whether texts written token by token, one branching off another, have the states that each has alone."""
    base = upper.base
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(embedding_rows(base.model), (2, max(_LENGTHS)), generator=generator)
    first, second = (ids[:length] for ids, length in zip(drawn, _LENGTHS, strict=True))
    # Places 0 and 1 begin with the texts themselves; place 2 branches off the second one after a token.
    branched = torch.cat([second[: _BEGUN[1] + 1], first[:1], second[_BEGUN[1] + 2 :]])
    steps = min(length - begun for length, begun in zip(_LENGTHS, _BEGUN, strict=True))
    texts = [first[: _BEGUN[0] + steps], second[: _BEGUN[1] + steps], branched[: _BEGUN[1] + steps]]
    try:
        written = _written(upper, texts, steps)
        alone = _alone(upper, texts)
    # A model that cannot keep them may fail in any way.
    except Exception:  # noqa: BLE001
        return False
    return bool((written - alone).norm() <= _SAME.get(base.dtype, _SAME_COARSE) * alone.norm())


def _written(upper: UpperModel, texts: list[Tensor], steps: int) -> Tensor:
    """The head's input after the last token of each text, the third of which branches off the second."""
    base = upper.base
    below, above = (KeyValues(base.model, 3, max(map(len, texts))) for _ in range(2))
    packing = pack(_BEGUN, base.device)
    ids = torch.cat([text[:begun] for text, begun in zip(texts, _BEGUN, strict=False)]).to(base.device)
    with below.beginning(packing):
        hidden = row_hidden_states(base, upper.layer, ids, packing.position_ids)
    with above.beginning(packing):
        final = upper.row_final(hidden, packing.position_ids, packing.ends - 1)
    for step in range(steps):
        if step == 1:
            below.arrange([0, 1, 1])
            above.arrange([0, 1, 1])
        begun = (*_BEGUN, _BEGUN[1])[: len(below.lengths)]
        tokens = [text[start + step] for text, start in zip(texts, begun, strict=False)]
        with below.going_on() as positions:
            hidden = row_hidden_states(base, upper.layer, torch.stack(tokens).to(base.device), positions)
        with above.going_on() as positions:
            final = upper.row_final(hidden, positions, torch.arange(len(tokens), device=base.device))
    return final.float()


def _alone(upper: UpperModel, texts: list[Tensor]) -> Tensor:
    """The head's input after the last token of each text, each read at once and by itself."""
    finals = []
    for text in texts:
        ids = text[None].to(upper.base.device)
        last = torch.arange(len(text), device=ids.device)[None] == len(text) - 1
        finals.append(upper.final_hidden(hidden_states(upper.base, upper.layer, ids), ids, last))
    return torch.cat(finals).float()
