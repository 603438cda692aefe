"""A memory masked by the document's identity."""

from collections.abc import Callable
from pathlib import Path

from fixtures.runs import load_run

from simset_bench.models.loading import Base
from simset_bench.training.config import TrainConfig
from simset_bench.training.methods.memory import new_memory


def test_under_sequence_id_entries_of_no_document_learn_nothing(
    run_of_method: Callable[[str], Path], config_of_method: Callable[..., TrainConfig], tiny_base: Callable[[str], Base]
) -> None:
    run = load_run(run_of_method("sequence-id"))
    start = new_memory(config_of_method("sequence-id"), tiny_base("llama"))
    active = run.multipliers(range(4), "oracle").any(axis=0)
    assert active[:32].all() and not active.all()
    learned = (run.memory.up_weight != start.up_weight).any(dim=1).numpy()
    assert not learned[~active].any()
    assert learned[active].mean() > 0.8
