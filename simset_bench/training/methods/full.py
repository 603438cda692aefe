"""`full`: every parameter of a small base learns."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from simset_bench.errors import RequestError
from simset_bench.files import whole_folder
from simset_bench.models.loading import Base
from simset_bench.models.sizes import ModelSizes
from simset_bench.training import run_folder as folders
from simset_bench.training.config import TrainConfig
from simset_bench.training.methods.base_weights import LearnedWeights, base_parameters, restore_weights, weights_learner
from simset_bench.training.methods.learner import Cost, Learner, Memorised

# Bytes for each parameter in full fine-tuning, in float32: itself, its former value, gradient and two moments.
_FULL_BYTES = 20


@contextmanager
def full_learner(config: TrainConfig, base: Base, memorised: Memorised) -> Iterator[Learner]:
    """Every parameter of the base learns for the time of the context, and has its former value afterwards.

    Raises RequestError where the free memory has no room for it.
    """
    _check_room(base)
    parameters = list(base.model.parameters())
    former = [parameter.detach().clone() for parameter in parameters]

    def store(folder: Path) -> None:
        with whole_folder(folder / folders.WEIGHTS) as temporary:
            # In one file, whose hash stands in the manifest.
            base.model.save_pretrained(temporary, max_shard_size="1TB")
            base.tokenizer.save_pretrained(temporary)

    base.model.requires_grad_(True)
    try:
        yield weights_learner(config, base, memorised, base.model, store, {})
    finally:
        base.model.requires_grad_(False)
        restore_weights(parameters, former)


def _check_room(base: Base) -> None:
    needed = _FULL_BYTES * base.model.num_parameters()
    # All of a machine's memory counts: what is free just now says little, since caches give way.
    room = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if base.device.type == "cuda":
        room = torch.cuda.mem_get_info(base.device)[0]
    if needed > room:
        raise RequestError(
            f"--method full: {base.name} needs {needed / 1e9:.1f} GB to train whole, {base.device} has "
            f"{room / 1e9:.1f} GB: use a smaller model, or --method lora"
        )


def full_cost(_config: TrainConfig, sizes: ModelSizes) -> Cost:
    """Cost of a step in which every weight gets a gradient; the run keeps them all, embeddings and head too."""
    kept = 4 * (base_parameters(sizes) + sizes.vocabulary * sizes.width)
    return Cost(6.0 * base_parameters(sizes), kept, base_copies=5)


@torch.no_grad()
def load_full(base: Base, folder: Path) -> LearnedWeights:
    """Put the weights of a run folder into the base."""
    learned = AutoModelForCausalLM.from_pretrained(
        folder / folders.WEIGHTS,
        dtype=base.dtype,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
    )
    new = dict(learned.named_parameters())
    changed = list(base.model.named_parameters())
    former = [parameter.detach().clone() for _, parameter in changed]
    for name, parameter in changed:
        parameter.copy_(new[name])
    return LearnedWeights([parameter for _, parameter in changed], former)


def begin_from_full(_learner: Learner, base: Base, folder: Path) -> None:
    """Give the base that is learning the weights of a run folder."""
    load_full(base, folder)
