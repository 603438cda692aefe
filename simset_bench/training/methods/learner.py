"""What a method hands to the training loop: the module that learns, its data, and how it is stored."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from simset_bench.corpora.documents import Document
from simset_bench.corpora.people.figures import family_similarity
from simset_bench.simset.allocation import Allocation
from simset_bench.simset.shingles import word_shingles
from simset_bench.training.config import TrainConfig
from simset_bench.training.data.batches import Batches, MaskRows
from simset_bench.training.data.segments import EpochRows, Segment, rows_with_replay
from simset_bench.training.trainer import Pass, make_optimizer


@dataclass(frozen=True)
class Memorised:
    """What a run memorises: documents, their segments, and their entries if they are allocated before training.

    The first `old` documents are those that the run continued from has memorised before. They have segments where they
    are replayed, which come after those of the new ones.
    """

    documents: list[Document]
    allocation: Allocation | None
    segments: list[Segment]
    old: int = 0

    def epoch_rows(self, config: TrainConfig) -> EpochRows:
        """Which segments an epoch has."""
        return rows_with_replay(self.segments, self.old, config.replay)

    def counts(self) -> dict[str, Any]:
        """How much it is, as a run's manifest records it; of invented people, how alike families are too.

        Documents are all, segments and tokens those of the new ones.
        """
        new = [segment for segment in self.segments if segment.document >= self.old]
        tokens = sum(len(segment.token_ids) - segment.specials for segment in new)
        counts: dict[str, Any] = {"documents": len(self.documents), "segments": len(new), "tokens": tokens}
        if any(document.facts for document in self.documents):
            similarity = family_similarity(self.documents, partial(word_shingles, words=2))
            counts["family_jaccard"] = asdict(similarity)
        return counts


@dataclass(frozen=True)
class Cost:
    """What a training takes: operations for each token of a step, and bytes of what the run keeps.

    `base_copies` is how often memory holds the base's weights, 5 where each has a former value, a gradient and two
    moments.
    """

    flops_a_token: float = 0.0
    learned_bytes: int = 0
    base_copies: int = 1


@dataclass(frozen=True)
class Learner:
    """The `module` whose parameters learn, with the `config` that the trainer follows.

    `make_batches` prepares what it learns from; `run_pass` computes one step's gradients; `masks` and `active` are
    those of `trainer.Member`; `optimizer` makes the module's optimiser. `store` writes what was learned into the run's
    folder. `counts` says at the end how much was memorised, and whatever else the manifest should record. `processes`
    train it together, each with a copy.
    """

    module: nn.Module
    config: TrainConfig
    make_batches: Callable[[], Batches]
    store: Callable[[Path], None]
    counts: Callable[[], dict[str, Any]]
    run_pass: Pass
    masks: Callable[[Batches], list[MaskRows]] = lambda _batches: []
    active: MaskRows | None = None
    optimizer: Callable[[nn.Module, TrainConfig], torch.optim.Optimizer] = make_optimizer
    processes: int = 1
