"""One training in several processes: the frozen base is spread over them, and each takes its share of every batch.

`torchrun --nproc-per-node N -m simset_bench train ...`. Each process holds one of N parts of every block's weights, and
a pass gathers one block at a time (FSDP2, `torch.distributed.fsdp.fully_shard`). Every process holds the whole memory.
Gradients are summed over the processes, which then take the same step.
"""

import dataclasses
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from simset_bench.console import be_quiet, note
from simset_bench.errors import RequestError
from simset_bench.models.devices import find_dtype
from simset_bench.models.loading import Base, load_base
from simset_bench.models.split import UpperModel
from simset_bench.simset.allocation import Allocation
from simset_bench.training import run_folder as folders
from simset_bench.training.allocations import store_allocation
from simset_bench.training.checkpoint import Mean
from simset_bench.training.config import TrainConfig
from simset_bench.training.data.background import load_background, with_background
from simset_bench.training.data.batches import Data, TrainingData
from simset_bench.training.data.hidden_states_on_disk import cached_states
from simset_bench.training.data.segments import PackedBatch, cut_documents, longest_of, part_of
from simset_bench.training.memory_pass import memory_pass
from simset_bench.training.method_options import MEMORY
from simset_bench.training.methods.learner import Learner, Memorised
from simset_bench.training.methods.memory import allocated_entries, memory_learner_on
from simset_bench.training.prepare import begin, load_documents, made_of_hashes, resolved
from simset_bench.training.processes import Processes
from simset_bench.training.train_in_folder import memorise, taken_up
from simset_bench.training.trainer import Member, PassSums, make_optimizer, train


def train_together(
    config: TrainConfig,
    root: Path,
    processes: Processes,
    resume: bool,
    overwrite: bool,
    checkpoint_seconds: float,
    log_to: str | None = None,
) -> Path:
    """Do what `train_run` does, in each of `processes`. The first prints messages and writes the run folder; all must
    see that folder.

    Raises RequestError in all processes. Several processes can train only the method `memory`, and cannot stream
    documents by an allocation file.
    """
    _check_together(config, processes)
    if not processes.is_first:
        be_quiet()
    device = _device(config.device, processes)
    documents = load_documents(config)
    allocation = allocated_entries(config, documents)
    with _joined(device):
        base = spread_base(config, device, processes)
        config = resolved(config, base, len(documents), allocation.num_clusters)
        folder = folders.run_folder(root, base.name, config)
        memorised = Memorised(documents, allocation, cut_documents(documents, base, config))
        with ExitStack() as stack:

            def made_ready() -> dict[str, str] | None:
                stack.enter_context(folders.held(folder))
                made_of = made_of_hashes(config, base, documents)
                if not begin(folder, config, made_of, resume=resume, overwrite=overwrite):
                    return None
                return made_of | {"allocation": store_allocation(folder, config, allocation, documents)}

            made_of = processes.first_decides(made_ready)
            if made_of is None:
                note(f"already trained: {folder} (--overwrite trains it anew)")
                return folder
            learner = _learner(config, base, memorised, allocation, processes)
            if processes.is_first:
                memorise(folder, config, base, made_of, learner, checkpoint_seconds, log_to=log_to)
            else:
                _follow(folder, base, made_of, learner)
    return folder


def _check_together(config: TrainConfig, processes: Processes) -> None:
    over = f"{processes.count} processes (torchrun)"
    if config.method != MEMORY:
        raise RequestError(f"--method {config.method}: cannot be trained in {over}, only {MEMORY} can")
    if config.allocation_file is not None:
        raise RequestError(f"--allocation {config.allocation_file}: cannot be streamed in {over}, only in one")


def _device(name: str, processes: Processes) -> torch.device:
    """The device of this process: a CUDA device of its own, or the CPU."""
    if name not in ("auto", "cpu", "cuda"):
        raise RequestError(f"--device {name}: each of {processes.count} processes has its own, use auto, cpu or cuda")
    there = torch.cuda.device_count()
    if name == "cpu" or (name == "auto" and not there):
        return torch.device("cpu")
    if processes.local_rank >= there:
        raise RequestError(
            f"--device {name}: this machine has {there} CUDA devices, fewer than torchrun's processes on it: "
            f"--nproc-per-node {max(1, there)}, or --device cpu"
        )
    return torch.device("cuda", processes.local_rank)


@contextmanager
def _joined(device: torch.device) -> Iterator[None]:
    """Connect the processes, unless the caller has done so.

    The connection is closed unless a process failed by itself: the others would wait for it without end.
    """
    if distributed.is_initialized():
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    except RequestError:
        # All processes raise it.
        distributed.destroy_process_group()
        raise
    distributed.destroy_process_group()


def spread_base(config: TrainConfig, device: torch.device, processes: Processes) -> Base:
    """The configuration's base with the weights of its blocks in as many parts as there are processes.

    Every process holds embeddings, last norm and head whole: the loss head uses its weight outside the model's forward.
    The children of a block are grouped, not the block itself, so that a pass that skips a block does not gather it.
    """
    dtype = str(find_dtype(config.dtype, device)).removeprefix("torch.")
    base = load_base(config.model, dtype, "cpu")
    # No block of transformers changes the output of its parts in place, which is what FSDP2 warns of.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module", category=UserWarning)
    mesh = init_device_mesh(device.type, (processes.count,))
    groups = [[part for part in block.children() if next(part.parameters(), None) is not None] for block in base.blocks]
    spread = {parameter for parts in groups for part in parts for parameter in part.parameters()}
    whole = set(base.model.parameters()) - spread
    for parts in groups:
        fully_shard(parts, mesh=mesh)
    for parameter in whole:
        parameter.data = parameter.data.to(device)
    fully_shard(base.model, mesh=mesh, ignored_params=whole)
    return dataclasses.replace(base, device=device)


def _learner(
    config: TrainConfig, base: Base, memorised: Memorised, allocation: Allocation, processes: Processes
) -> Learner:
    layer, segments = int(config.layer), memorised.segments

    def make_data() -> Data:
        data: Data = TrainingData(segments, cached_states(base, [layer], segments, layer, processes), allocation.mask)
        return with_background(data, load_background(config, base, memorised.documents, processes))

    counts, longest = lambda: memorised.counts() | {"processes": processes.count}, longest_of(segments)
    learner = memory_learner_on(config, base, make_data, counts, longest)
    run_pass = partial(shared_pass, UpperModel(base, layer, longest), processes)
    return dataclasses.replace(learner, run_pass=run_pass, processes=processes.count)


def _follow(folder: Path, base: Base, made_of: dict[str, str], learner: Learner) -> None:
    """Train along with the first process, and write nothing."""
    optimizer = make_optimizer(learner.module, learner.config)
    progress = taken_up(folder, made_of, learner, optimizer)
    batches = learner.make_batches()
    member = Member(learner.module, optimizer, [progress], config=learner.config, masks=learner.masks(batches))
    train(base, member, batches, learner.run_pass, lambda _now: None, lambda _now: None)


def shared_pass(
    upper: UpperModel, processes: Processes, member: Member, batch: PackedBatch, hidden: Tensor
) -> PassSums:
    """`memory_pass` with the batch's segments shared out: gradients and sums are those of the whole batch.

    Each process's losses are its tokens' terms of the batch's means, so their sum is the loss of one process. A process
    that gets no segment of a small batch still goes through the blocks, since all must take part in gathering weights.
    """
    count = len(batch.rows)
    first, last = count * processes.rank // processes.count, count * (processes.rank + 1) // processes.count
    is_idle = first == last
    part, tokens = part_of(batch, *((0, 1) if is_idle else (first, last)))
    sums = memory_pass(upper, member, part, hidden[tokens], batch)
    (metrics,) = sums.metrics_of_runs
    totals = torch.tensor([mean.total for mean in metrics.values()], dtype=torch.float64)
    counts = torch.tensor([mean.count for mean in metrics.values()], dtype=torch.float64)
    loss = torch.tensor([sums.loss], dtype=torch.float64)
    gradients = [each.grad for each in member.memory.parameters() if each.grad is not None]
    _sum_over_processes(gradients, is_idle)
    _sum_over_processes([loss, totals, counts], is_idle)
    return PassSums(
        loss.item(),
        [{name: Mean(*pair) for name, *pair in zip(metrics, totals.tolist(), counts.tolist(), strict=True)}],
    )


def _sum_over_processes(tensors: list[Tensor], is_idle: bool) -> None:
    """Replace tensors of one dtype by their sums over all processes, in one exchange; an idle process adds nothing."""
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    if is_idle:
        flat = torch.zeros_like(flat)
    distributed.all_reduce(flat)
    sizes = [tensor.numel() for tensor in tensors]
    for tensor, summed in zip(tensors, flat.split(sizes), strict=True):
        tensor.copy_(summed.view_as(tensor))
