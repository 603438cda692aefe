"""The methods that learn: what trains each, and what puts its weights back into the base."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from simset_bench.models.loading import Base
from simset_bench.training.config import TrainConfig
from simset_bench.training.method_options import MEMORY
from simset_bench.training.methods.base_weights import LearnedWeights, restore_weights
from simset_bench.training.methods.full import full_learner, load_full
from simset_bench.training.methods.guidance import guidance_learner
from simset_bench.training.methods.learner import Learner, Memorised
from simset_bench.training.methods.lora import lora_learner, merge_lora
from simset_bench.training.methods.memory import memory_learner
from simset_bench.training.methods.sequence_id import sequence_learner


@contextmanager
def learned_weights(base: Base, method: str, folder: Path) -> Iterator[LearnedWeights | None]:
    """Put what a run of `lora` or `full` learned into the base's weights, and take it out again to the bit.

    A LoRA is merged, so that what adapts the base further meets plain linear maps. Other runs leave the base alone.
    """
    if method not in LOADERS:
        yield None
        return
    weights = LOADERS[method](base, folder)
    try:
        yield weights
    finally:
        restore_weights(weights.changed, weights.former)


LOADERS: dict[str, Callable[[Base, Path], LearnedWeights]] = {"lora": merge_lora, "full": load_full}


LearnerOf = Callable[[TrainConfig, Base, Memorised], AbstractContextManager[Learner]]


LEARNERS: dict[str, LearnerOf] = {
    MEMORY: memory_learner,
    "sequence-id": sequence_learner,
    "guidance": guidance_learner,
    "lora": lora_learner,
    "full": full_learner,
}
