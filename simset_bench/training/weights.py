"""Methods that learn in the base's own weights: a LoRA of as many parameters as the memory, or all of them."""

import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

from simset_bench.console import note
from simset_bench.errors import RequestError
from simset_bench.files import whole_folder
from simset_bench.models.loading import Base
from simset_bench.training import run_folder as folders
from simset_bench.training.config import TrainConfig
from simset_bench.training.data.segments import PackedBatch, Segment, epoch_batches, pack_batch
from simset_bench.training.train_in_folder import Learner, Memorised
from simset_bench.training.trainer import Member

if TYPE_CHECKING:
    from peft import PeftModel

# LoRA's alpha over its rank, as in question-answer fine-tuning.
LORA_SCALE = 2
# Bytes for each parameter in full fine-tuning, in float32: itself, its former value, gradient and two moments.
_FULL_BYTES = 20


@dataclass(frozen=True)
class LoraMatch:
    """A LoRA of `rank` on every linear map of the topmost `blocks` blocks: `parameters` beside the memory's."""

    rank: int
    blocks: int
    parameters: int
    memory_parameters: int


def memory_parameters(entries: int, width: int) -> int:
    """Parameters of a memory: two matrices of entries by width, and a bias for each side."""
    return 2 * entries * width + entries + width


def match_lora(base: Base, entries: int, rank: int | None) -> LoraMatch:
    """The LoRA whose parameters are nearest those of a memory of `entries` entries.

    The rank is the same in all blocks, and `rank` where given. Where even rank 1 is more than the memory, the topmost
    blocks alone have it.
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


class Learning(nn.Module):
    """The parameters of a larger model that learn, under their names there with `/` for the dots."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                self.register_parameter(name.replace(".", "/"), parameter)


@dataclass(frozen=True)
class WholeBatches:
    """Batches of segments for the whole base: nothing below is frozen, so no hidden states come with them."""

    segments: Sequence[Segment]

    @property
    def count(self) -> int:
        """Number of segments."""
        return len(self.segments)

    def of_epoch(self, base: Base, config: TrainConfig, epoch: int, first: int) -> Iterator[tuple[PackedBatch, Tensor]]:
        """Batches of an epoch in the order that a memory sees them in, from number `first` on."""
        for rows in epoch_batches(self.count, config.batch_size, config.seed, epoch)[first:]:
            yield pack_batch(self.segments, rows, base.device), torch.empty(0)


def whole_pass(
    base: Base, _members: Sequence[Member], batch: PackedBatch, _hidden: Tensor
) -> list[list[dict[str, float]]]:
    """Mean NLL of the next token through the whole base: a `trainer.Pass` for what learns in its weights."""
    packing = batch.packing
    # Right-padded: no real token sees a padded one.
    logits = base.model(input_ids=packing.padded(batch.input_ids), use_cache=False).logits.flatten(0, 1)
    chosen = logits[packing.slots[batch.predicting]].float()
    nll = nn.functional.cross_entropy(chosen, batch.wanted, reduction="none")
    loss = nll.sum() / max(1, len(nll))
    loss.backward()
    return [[{"loss": loss.item(), "nll": nll.detach().double().sum().item(), "targets": float(len(nll))}]]


@contextmanager
def lora_learner(config: TrainConfig, base: Base, memorised: Memorised) -> Iterator[Learner]:
    """A LoRA that learns in the base for the time of the context; the base is afterwards what it was."""
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
        yield _learner(config, base, memorised, adapted, store, told)
    finally:
        adapted.unload()
        base.model.requires_grad_(False)


def _sort(path: Path) -> None:
    """Put peft's configuration into one order: it keeps names in a set, whose order changes from process to process."""
    found = json.loads(path.read_text(encoding="utf-8"))
    ordered = {name: sorted(value) if isinstance(value, list) else value for name, value in found.items()}
    path.write_text(json.dumps(ordered, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _with_lora(base: Base, match: LoraMatch, seed: int) -> "PeftModel":
    from peft import LoraConfig, get_peft_model

    names = [name for name, _ in _linear_maps(base, list(base.blocks)[-match.blocks :])]
    options: dict[str, Any] = {"r": match.rank, "lora_alpha": LORA_SCALE * match.rank, "target_modules": names}
    with torch.random.fork_rng(), warnings.catch_warnings():
        # peft says that GPT-2's weights lie the other way round, and calls what transformers is about to rename.
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        return get_peft_model(base.model, LoraConfig(**options, task_type="CAUSAL_LM"))


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
        yield _learner(config, base, memorised, base.model, store, {})
    finally:
        base.model.requires_grad_(False)
        _restore(parameters, former)


def _check_room(base: Base) -> None:
    needed = _FULL_BYTES * base.model.num_parameters()
    # Of a machine's memory all: what is free just now says little, since caches give way.
    room = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if base.device.type == "cuda":
        room = torch.cuda.mem_get_info(base.device)[0]
    if needed > room:
        raise RequestError(
            f"--method full: {base.name} needs {needed / 1e9:.1f} GB to train whole, {base.device} has "
            f"{room / 1e9:.1f} GB: use a smaller model, or --method lora"
        )


def _learner(
    config: TrainConfig,
    base: Base,
    memorised: Memorised,
    model: nn.Module,
    store: Callable[[Path], None],
    told: dict[str, int],
) -> Learner:
    module = Learning(model)
    told = {"trainable_parameters": sum(parameter.numel() for parameter in module.parameters()), **told}
    return Learner(
        module,
        config,
        lambda: WholeBatches(memorised.segments),
        store,
        lambda: memorised.counts() | told,
        run_pass=partial(whole_pass, base),
    )


@torch.no_grad()
def _restore(parameters: Sequence[Tensor], former: Sequence[Tensor]) -> None:
    for parameter, value in zip(parameters, former, strict=True):
        parameter.copy_(value)


@dataclass(frozen=True)
class LearnedWeights:
    """Parameters of a base that hold what a run learned, and the values that they had before."""

    changed: list[Tensor]
    former: list[Tensor]

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Within the context the base is what it was."""
        learned = [parameter.detach().clone() for parameter in self.changed]
        _restore(self.changed, self.former)
        try:
            yield
        finally:
            _restore(self.changed, learned)


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
        _restore(weights.changed, weights.former)


def _merge_lora(base: Base, folder: Path) -> LearnedWeights:
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
def _load_weights(base: Base, folder: Path) -> LearnedWeights:
    learned = AutoModelForCausalLM.from_pretrained(
        folder / folders.WEIGHTS, dtype=base.dtype, use_safetensors=True, local_files_only=True
    )
    new = dict(learned.named_parameters())
    changed = list(base.model.named_parameters())
    former = [parameter.detach().clone() for _, parameter in changed]
    for name, parameter in changed:
        parameter.copy_(new[name])
    return LearnedWeights([parameter for _, parameter in changed], former)


LOADERS: dict[str, Callable[[Base, Path], LearnedWeights]] = {"lora": _merge_lora, "full": _load_weights}
