"""The operations that a sweep's estimate counts are those that a step does."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from simset_bench.corpora.load import load_corpus
from simset_bench.models.loading import Base
from simset_bench.models.sizes import model_sizes
from simset_bench.models.split import hidden_states
from simset_bench.training.checkpoint import Progress
from simset_bench.training.config import TrainConfig
from simset_bench.training.data.segments import segment_documents
from simset_bench.training.methods.learner import Memorised
from simset_bench.training.methods.table import LEARNING_METHODS, entries_before_training, training_cost
from simset_bench.training.sweep.cost import plain_flops, prefix_flops
from simset_bench.training.trainer import Member, make_optimizer

# Of the whole: tokens that pad a batch or have nothing to predict, which the formulas leave out: some hundredths.
ROOM = 0.1

ConfigOf = Callable[..., TrainConfig]


def counted_flops(counter: FlopCounterMode) -> int:
    """Without attention's products of tokens with tokens, which newer PyTorch counts and the formulas do not."""
    counts = counter.get_flop_counts().get("Global", {})
    return sum(count for operation, count in counts.items() if "attention" not in str(operation))


def flops_of_a_step(config: TrainConfig, base: Base) -> float:
    """Operations for each token of one step on one batch, as PyTorch counts them."""
    documents = load_corpus(config.corpus, num_docs=config.num_docs)
    segments = segment_documents(documents, base.tokenizer, 24)
    memorised = Memorised(documents, entries_before_training(config, documents), segments)
    with LEARNING_METHODS[config.method].learner(config, base, memorised) as learner:
        batches = learner.make_batches()
        optimizer = make_optimizer(learner.module, config)
        masks = learner.masks(batches)
        member = Member(learner.module, optimizer, [Progress()], config=config, masks=masks, active=learner.active)
        batch, hidden = next(batches.of_epoch(base, learner.config, 0, 0))
        with FlopCounterMode(display=False) as counter:
            learner.run_pass(member, batch, hidden)
    return counted_flops(counter) / len(batch.input_ids)


@pytest.mark.parametrize("method", sorted(LEARNING_METHODS))
def test_a_step_takes_the_operations_that_are_counted_for_it(
    config_of_method: ConfigOf, tiny_base: Callable[[str], Base], tiny_llama: Path, method: str
) -> None:
    config = config_of_method(method)
    counted = training_cost(config, model_sizes(str(tiny_llama))).flops_a_token
    assert flops_of_a_step(config, tiny_base("llama")) == pytest.approx(counted, rel=ROOM)


def test_a_larger_memory_takes_exactly_what_its_matrices_take_more(
    config_of_method: ConfigOf, tiny_base: Callable[[str], Base], tiny_llama: Path
) -> None:
    small, large = (config_of_method("memory", entries=entries) for entries in (64, 128))
    counts = [training_cost(config, model_sizes(str(tiny_llama))).flops_a_token for config in (small, large)]
    done = [flops_of_a_step(config, tiny_base("llama")) for config in (small, large)]
    assert done[1] - done[0] == pytest.approx(counts[1] - counts[0], rel=1e-9)


def test_filling_hidden_states_takes_the_blocks_below_and_at_the_memory(
    tiny_base: Callable[[str], Base], tiny_llama: Path
) -> None:
    sizes = model_sizes(str(tiny_llama))
    ids = torch.arange(24)[None]
    for layer in (0, 2):
        with FlopCounterMode(display=False) as counter:
            hidden_states(tiny_base("llama"), layer, ids)
        assert counted_flops(counter) / 24 == pytest.approx(prefix_flops(layer, sizes), rel=ROOM)


def test_without_kept_states_a_memory_runs_the_blocks_below_in_every_step_and_lora_runs_none_twice(
    config_of_method: ConfigOf, tiny_llama: Path
) -> None:
    sizes = model_sizes(str(tiny_llama))
    memory, lora = config_of_method("memory"), config_of_method("lora")
    assert plain_flops(memory, sizes) == training_cost(memory, sizes).flops_a_token + prefix_flops(2, sizes)
    assert plain_flops(lora, sizes) == training_cost(lora, sizes).flops_a_token
    deeper = dataclasses.replace(memory, layer=3)
    assert training_cost(deeper, sizes).flops_a_token < training_cost(memory, sizes).flops_a_token
