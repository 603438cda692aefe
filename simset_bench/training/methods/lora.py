"""`lora`: a LoRA (arXiv 2106.09685) with about as many parameters as the memory, merged for evaluation."""

import json
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file
from torch import nn
from transformers.pytorch_utils import Conv1D

from simset_bench.console import note
from simset_bench.files import whole_folder
from simset_bench.models.loading import Base
from simset_bench.models.sizes import ModelSizes
from simset_bench.training import run_folder as folders
from simset_bench.training.config import TrainConfig
from simset_bench.training.methods.base_weights import LearnedWeights, base_parameters, weights_learner
from simset_bench.training.methods.learner import Cost, Learner, Memorised
from simset_bench.training.methods.memory import memory_parameters

if TYPE_CHECKING:
    from peft import PeftModel

# LoRA's alpha over its rank, as in question-answer fine-tuning.
LORA_SCALE = 2


@dataclass(frozen=True)
class LoraMatch:
    """A LoRA of `rank` on every linear map of the topmost `blocks` blocks: `parameters` beside the memory's."""

    rank: int
    blocks: int
    parameters: int
    memory_parameters: int


def match_lora(base: Base, entries: int, rank: int | None) -> LoraMatch:
    """The LoRA whose number of parameters is nearest to that of a memory of `entries` entries.

    The rank is the same in all blocks, and is `rank` if given. Where even rank 1 has more parameters than the memory,
    only the topmost blocks get a LoRA.
    """
    sizes = [sum(sum(linear.weight.shape) for _, linear in _linear_maps(base, [block])) for block in base.blocks]
    wanted, everywhere = memory_parameters(entries, base.width), sum(sizes)
    if rank is not None or wanted >= everywhere:
        rank = rank or round(wanted / everywhere)
        return LoraMatch(rank, len(sizes), rank * everywhere, wanted)
    blocks = min(range(1, len(sizes) + 1), key=lambda count: abs(sum(sizes[-count:]) - wanted))
    return LoraMatch(1, blocks, sum(sizes[-blocks:]), wanted)


def _linear_maps(base: Base, blocks: Iterable[nn.Module]) -> list[tuple[str, Any]]:
    inside = {id(module) for block in blocks for module in block.modules()}
    return [
        (name, module)
        for name, module in base.model.named_modules()
        if id(module) in inside and isinstance(module, nn.Linear | Conv1D)
    ]


@contextmanager
def lora_learner(config: TrainConfig, base: Base, memorised: Memorised) -> Iterator[Learner]:
    """A LoRA that learns in the base within the context. Afterwards the base is unchanged."""
    match = match_lora(base, config.entries, config.lora_rank)
    note(
        f"LoRA of rank {match.rank} on {match.blocks} of {len(base.blocks)} blocks: {match.parameters} parameters, "
        f"a memory of {config.entries} entries has {match.memory_parameters}"
    )
    adapted = _with_lora(base, match, config.mem_seed)

    def store(folder: Path) -> None:
        with whole_folder(folder / folders.ADAPTER) as temporary:
            adapted.save_pretrained(str(temporary), save_embedding_layers=False)
            # A model card with nothing filled in.
            (temporary / "README.md").unlink(missing_ok=True)
            _sort(temporary / "adapter_config.json")

    told = {"lora_rank": match.rank, "lora_blocks": match.blocks, "memory_parameters": match.memory_parameters}
    try:
        yield weights_learner(config, base, memorised, adapted, store, told)
    finally:
        adapted.unload()
        base.model.requires_grad_(False)


def _sort(path: Path) -> None:
    """Sort peft's configuration: peft keeps names in a set, whose order changes from process to process."""
    options = json.loads(path.read_text(encoding="utf-8"))
    ordered = {name: sorted(value) if isinstance(value, list) else value for name, value in options.items()}
    path.write_text(json.dumps(ordered, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _with_lora(base: Base, match: LoraMatch, seed: int) -> "PeftModel":
    from peft import LoraConfig, get_peft_model

    names = [name for name, _ in _linear_maps(base, list(base.blocks)[-match.blocks :])]
    options: dict[str, Any] = {"r": match.rank, "lora_alpha": LORA_SCALE * match.rank, "target_modules": names}
    with torch.random.fork_rng(), warnings.catch_warnings():
        # peft warns that GPT-2's weights are transposed, and calls functions that transformers is about to rename.
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        return get_peft_model(base.model, LoraConfig(**options, task_type="CAUSAL_LM"))


def lora_cost(config: TrainConfig, sizes: ModelSizes) -> Cost:
    """Cost of a step through the whole base; the LoRA is about as large as the memory."""
    learned = memory_parameters(config.entries, sizes.width)
    return Cost(4.0 * base_parameters(sizes) + 6.0 * learned, 4 * learned)


def merge_lora(base: Base, folder: Path) -> LearnedWeights:
    """Merge the LoRA of a run folder into the base's weights."""
    from peft import PeftModel
    from peft.tuners.lora import LoraLayer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adapted = PeftModel.from_pretrained(base.model, str(folder / folders.ADAPTER))
    layers: list[Any] = [each for each in adapted.modules() if isinstance(each, LoraLayer)]
    changed = [layer.get_base_layer().weight for layer in layers]
    former = [weight.detach().clone() for weight in changed]
    tuner: Any = adapted
    tuner.merge_and_unload()
    base.model.requires_grad_(False)
    return LearnedWeights(changed, former)


@torch.no_grad()
def begin_from_lora(learner: Learner, _base: Base, folder: Path) -> None:
    """Give a LoRA that is learning the parameters of a run folder's."""
    saved = load_file(folder / folders.ADAPTER / "adapter_model.safetensors")
    for name, parameter in learner.module.named_parameters():
        # peft leaves out the adapter's name, `default`, where it saves one.
        parameter.copy_(saved[name.replace("/", ".").replace(".default.", ".")])
