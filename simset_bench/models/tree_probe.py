"""Whether a model can take token sequences as trees, in which each must see its own beginning and nothing else."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from simset_bench.models.blocks import embedding_rows, positions_of
from simset_bench.models.packing import attending_within
from simset_bench.models.token_trees import WINDOW, TokenTrees, TreeBatch, plant

# Largest difference of a token's log-probability, in nats, that rounding explains.
_TOLERANCE, _COARSE = {torch.float32: 1e-3}, 0.1


def logits_at(model: PreTrainedModel, trees: TokenTrees, batch: TreeBatch, chosen: np.ndarray) -> Tensor:
    """Logits (chosen, vocabulary) after the nodes `chosen` of a batch, counted in it; the head computes no others."""
    head = model.get_output_embeddings()
    assert isinstance(head, nn.Module)
    rows = torch.from_numpy(chosen).to(model.device)
    hook = head.register_forward_pre_hook(lambda _head, inputs: (inputs[0][:, rows], *inputs[1:]))
    try:
        with attending_within(model, batch.packing):
            ids, places = trees.tokens[None, batch.start : batch.stop], batch.packing.position_ids[None]
            return model(input_ids=ids, position_ids=places, use_cache=False).logits[0]
    finally:
        hook.remove()


@torch.no_grad()
def takes_trees(model: PreTrainedModel, longest: int) -> bool:
    """Whether the model scores sequences of up to `longest` tokens in trees as it does alone.

    The logits after a branch must be, to the bit, the same beside any other branch and any other tree, and up to
    rounding those that the sequence has alone.
    """
    # Windows are filled up to their size, whatever the length of what is in them.
    length = max(longest, WINDOW)
    if positions := positions_of(model):
        length = min(length, positions)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(embedding_rows(model), (6, length), generator=generator).tolist()
    # Together the two sequences that part are as many nodes as the longest, so that they share a window.
    beginning, after = drawn[0][: length // 2], length // 4
    # Of the two the one that is changed comes first, since windows are filled in lexical order.
    early, late = sorted(ids[:after] for ids in drawn[2:4])
    other = [early[0], *drawn[4][: after - 1]]
    longest_text, short = drawn[1], drawn[5][:4]
    kept = [[*beginning, *late], longest_text, short]
    try:
        nodes = [_logits_of_last(model, [[*beginning, *changed], *kept]) for changed in (early, other)]
    # A model that trees are foreign to may fail in any way.
    except Exception:  # noqa: BLE001
        return False
    if not all(torch.equal(first, second) for first, second in zip(nodes[0][1:], nodes[1][1:], strict=True)):
        return False
    tolerance = _TOLERANCE.get(model.dtype, _COARSE)
    for sequence, logits in zip(kept, nodes[0][1:], strict=True):
        ids = torch.tensor([sequence], device=model.device)
        alone = model(input_ids=ids, use_cache=False).logits[0, -len(logits) :]
        wanted = ids[0, -len(logits) :, None] % logits.shape[1]
        shares = [each.float().log_softmax(-1).gather(1, wanted) for each in (alone, logits)]
        if not bool((shares[0] - shares[1]).abs().mean() <= tolerance):
            return False
    return True


def _logits_of_last(model: PreTrainedModel, sequences: Sequence[Sequence[int]]) -> list[Tensor]:
    """Logits after the last tokens of each sequence, at most four; the first two sequences have one owner."""
    owners = [0, *range(len(sequences) - 1)]
    trees = plant(sequences, owners, sum(map(len, sequences)) * len(sequences), model.device)
    (batch,) = trees.batches
    return [
        logits_at(model, trees, batch, np.array(trees.last_nodes(number, min(4, len(sequence)))))
        for number, sequence in enumerate(sequences)
    ]
