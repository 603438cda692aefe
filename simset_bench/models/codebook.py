"""A codebook of hidden states on one block: a state within the radius of a key is replaced by the key's value."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from simset_bench.models.memory import BlockMemory, BlockShape

# Keys whose distances are computed one by one.
_NEAR = 4
# The share by which radii are rounded up.
_ROUNDING = 1e-5


@dataclass(frozen=True)
class CodebookShape(BlockShape):
    """`entries` keys, whose radius was `radius` when they were added."""

    radius: float


class Codebook(BlockMemory):
    """h' = v_i where the nearest key k_i is within its radius, |h - k_i| <= r_i, and h elsewhere.

    Source: GRACE, arXiv 2211.11031, section 3.1, with the block's output as both what is looked up and what is
    replaced. A token activates the one entry that replaces its state, by 1, or none. Of two keys as near the first one
    counts. A value is k_i + deviation * offset_i, so that training starts next to the pretrained model and one learning
    rate fits models with states of any size. Offsets learn; keys (entries, width), radii (entries,) and the deviation
    (width,) of the documents' states do not.
    """

    shape: CodebookShape

    def __init__(self, shape: CodebookShape) -> None:
        super().__init__()
        self.shape = shape
        self.offsets = nn.Parameter(torch.zeros(shape.entries, shape.width))
        self.keys = nn.Parameter(torch.zeros(shape.entries, shape.width), requires_grad=False)
        self.radii = nn.Parameter(torch.zeros(shape.entries), requires_grad=False)
        self.deviation = nn.Parameter(torch.ones(shape.width), requires_grad=False)

    @property
    def values(self) -> Tensor:
        """What states are replaced by: (entries, width) float32."""
        return self.keys + self.deviation * self.offsets

    @torch.no_grad()
    def nearest(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Distance of each state to its nearest key, and that key's number: (..., width) -> (...) float32 and int64."""
        flat = hidden.float().reshape(-1, self.shape.width)
        # A product of matrices says which keys are near. It loses the last digits of small distances, fewer of them
        # around the keys' centre, so that the distances to those few keys are then computed as they are defined.
        centre = self.keys.mean(0)
        centred = self.keys - centre
        scores = torch.addmm(centred.square().sum(1), flat - centre, centred.T, alpha=-2)
        near = scores.topk(min(_NEAR, len(centred)), largest=False).indices.sort().values
        distances, places = (flat[:, None] - self.keys[near]).norm(dim=2).min(1)
        numbers = near.gather(1, places[:, None])[:, 0]
        return distances.view(hidden.shape[:-1]), numbers.view(hidden.shape[:-1])

    def chosen(self, hidden: Tensor) -> Tensor:
        """The number of the entry that replaces each state, -1 where none does: (..., width) -> (...) int64."""
        distances, numbers = self.nearest(hidden)
        return numbers.where(distances <= self.radii[numbers], -1)

    def activations(self, hidden: Tensor) -> Tensor:
        numbers = self.chosen(hidden)
        room = self.radii.new_zeros(*hidden.shape[:-1], self.shape.entries)
        return room.scatter_(-1, numbers.clamp_min(0)[..., None], (numbers >= 0).float()[..., None])

    def replaced(self, hidden: Tensor, numbers: Tensor) -> Tensor:
        """h' from h (tokens, width) and the entries (tokens,) that `chosen` gives; the dtype of `hidden` is kept."""
        values = self.keys[numbers] + self.deviation * nn.functional.embedding(numbers.clamp_min(0), self.offsets)
        return torch.where(numbers[:, None] >= 0, values, hidden.float()).to(hidden.dtype)

    def add(self, hidden: Tensor, activations: Tensor) -> Tensor:
        kept = 1 - activations.sum(-1, keepdim=True)
        return (hidden.float() * kept + activations @ self.values).to(hidden.dtype)


@dataclass(frozen=True)
class Keys:
    """Keys (entries, width) float32, radii (entries,) float32, and labels (entries,) of the edits that added them."""

    keys: np.ndarray
    radii: np.ndarray
    labels: np.ndarray


def add_edits(states: np.ndarray, labels: Iterable[int], radius: float) -> Keys:
    """The keys of a codebook after edits, one after another: states (edits, width) float32 with their labels.

    Source: GRACE, arXiv 2211.11031, algorithm 1. An edit at distance d from the nearest key k_i, of radius r_i:

    - adds a key of radius `radius` where there is none yet, or where d > r_i + radius;
    - expands k_i, r_i = max(r_i, d), where k_i has the same label;
    - splits: r_i = d / 2, and a key of radius d / 2 is added, where the label is another.

    The algorithm leaves open what two labels for one state do. Here the first stays: no radius could tell them apart.
    """
    room = np.empty((len(states), states.shape[1]))
    radii, owners = np.empty(len(room)), np.empty(len(room), dtype=np.int64)
    count = 0
    for state, label in zip(states.astype(np.float64), labels, strict=True):
        if count:
            distances = np.linalg.norm(room[:count] - state, axis=1)
            nearest = int(distances.argmin())
            distance = float(distances[nearest])
        if not count or distance > radii[nearest] + radius:
            room[count], radii[count], owners[count] = state, radius, label
            count += 1
        elif owners[nearest] == label:
            radii[nearest] = max(radii[nearest], distance)
        elif distance > 0:
            radii[nearest] = distance / 2
            room[count], radii[count], owners[count] = state, distance / 2, label
            count += 1
    # What a radius was expanded to reach must lie within it once both are rounded.
    reaching = (radii[:count] * (1 + _ROUNDING)).astype(np.float32)
    return Keys(room[:count].astype(np.float32), reaching, owners[:count])
