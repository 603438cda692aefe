"""torch.compile, CUDA graphs and FlexAttention, each tried once: what it gains, or why it fails."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from gpu_figures import Figures, Report, cache_of, time_steps
from gpu_training import Shape, setting_of, shapes, stacked_step
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from training import Setting

from simset_bench.models.packing import pack
from simset_bench.models.split import UpperModel
from simset_bench.training import frozen_head
from simset_bench.training.data.hidden_states import HiddenCache


def compiled(work: Callable[..., Any], device: torch.device) -> Callable[..., Any]:
    """`work` compiled for shapes as they come; on a CPU only traced, since its compiler takes minutes."""
    return torch.compile(work, dynamic=False, backend="inductor" if device.type == "cuda" else "aot_eager")


@contextmanager
def replaced(**values: Any) -> Iterator[None]:
    """Names of the frozen head's module replaced for a while."""
    former = {name: getattr(frozen_head, name) for name in values}
    for name, value in values.items():
        setattr(frozen_head, name, value)
    try:
        yield
    finally:
        for name, value in former.items():
            setattr(frozen_head, name, value)


def softmax_parts(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """NLL (rows,) and softmax less one-hot (rows, words) of logits, in the dtype of these."""
    wide = logits.float()
    total = wide.logsumexp(1, keepdim=True)
    words = torch.arange(wide.shape[1], device=wide.device)
    slope = (wide - total).exp() - (words == targets[:, None]).float()
    return (total - wide.gather(1, targets[:, None])).squeeze(1), slope.to(logits.dtype)


def whole_rows(parts: Callable[..., Any], rows: int, final: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """NLL and gradient of some rows at a time, all words at once; returns the gradient."""
    gradients = []
    for part, wanted in zip(final.split(rows), targets.split(rows), strict=True):
        _, slope = parts(part @ weight.T, wanted)
        gradients.append(slope @ weight)
    return torch.cat(gradients)


def plain_head(final: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """NLL and gradient as autograd makes them from all logits."""
    leaf = final.detach().requires_grad_()
    nll = torch.nn.functional.cross_entropy((leaf @ weight.T).float(), targets, reduction="none")
    (gradient,) = torch.autograd.grad(nll.sum(), leaf)
    return gradient


def head_trials(report: Report, setting: Setting, rows: int) -> None:
    """The loss head alone, by tile and by compiler: milliseconds of NLL and gradient for `rows` positions."""
    device, head = report.device, setting.base.model.get_output_embeddings().weight
    generator = torch.Generator(device.type).manual_seed(0)
    final = torch.randn(rows, head.shape[1], generator=generator, device=device).to(head.dtype)
    targets = torch.randint(len(head), (rows,), generator=generator, device=device)
    operations = 4.0 * rows * head.numel()

    def timed(work: Callable[[], object]) -> Figures:
        figures = time_steps(lambda _: work(), device, budget=1.0)
        return figures | {"flops_a_second": operations / figures["seconds_a_step"]}

    def tiled() -> Tensor:
        return frozen_head._tiled_nll(final, head, None, targets, True)[0]

    with torch.no_grad():
        for tile in (4096, 16384, len(head)):
            with replaced(TILE=tile):
                report.measure(f"{setting.name} | head, tiles of {tile}", partial(timed, tiled))
        with replaced(_tiled_nll=compiled(frozen_head._tiled_nll, device)):
            report.measure(f"{setting.name} | head, tiles of {frozen_head.TILE}, compiled", partial(timed, tiled))
        whole = partial(whole_rows, softmax_parts, rows // 2, final, head, targets)
        report.measure(f"{setting.name} | head, all words of {rows // 2} rows", partial(timed, whole))
        whole = partial(whole_rows, compiled(softmax_parts, device), rows // 2, final, head, targets)
        report.measure(f"{setting.name} | head, all words of {rows // 2} rows, compiled", partial(timed, whole))
    plain = partial(plain_head, final[: rows // 2], head, targets[: rows // 2])
    report.measure(f"{setting.name} | head, autograd, half the rows", partial(timed, plain))


def step_trials(report: Report, setting: Setting, upper: UpperModel, cache: HiddenCache, runs: int) -> None:
    """A whole step of a stacked fleet: as it is, as a CUDA graph, with compiled blocks, and with both."""
    on_card = report.device.type == "cuda"

    def one(name: str, *, graph: bool) -> None:
        def work() -> Figures:
            figures = time_steps(stacked_step(setting, upper, cache, runs, graph=graph), report.device, budget=1.5)
            return figures | {"seconds_a_step_and_run": figures["seconds_a_step"] / runs}

        report.measure(f"{setting.name} | step, fleet of {runs}, {name}", work)

    one("as it is", graph=False)
    if on_card:
        one("CUDA graph", graph=True)
    for block in setting.base.blocks[upper.layer + 1 :]:
        block.compile(dynamic=False, backend="inductor" if on_card else "aot_eager")
    one("blocks compiled", graph=False)
    if on_card:
        one("blocks compiled, CUDA graph", graph=True)


def attention_trials(report: Report, heads: int, width: int, lengths: list[int], name: str) -> None:
    """Attention within texts laid end to end, forward and backward: padded SDPA as it is done, and FlexAttention."""
    device = report.device
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    packing = pack(lengths, device)
    generator = torch.Generator(device.type).manual_seed(0)
    shape = (1, heads, packing.tokens, width)
    query, key, value = (
        torch.randn(shape, generator=generator, device=device).to(dtype).requires_grad_() for _ in range(3)
    )
    slope = torch.randn(shape, generator=generator, device=device).to(dtype)
    numbers = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths)).to(device)

    def padded() -> Tensor:
        parts = [packing.padded(part[0].transpose(0, 1)).transpose(1, 2) for part in (query, key, value)]
        attended = torch.nn.functional.scaled_dot_product_attention(*parts, is_causal=True)
        return packing.packed(attended.transpose(1, 2)).transpose(0, 1)[None]

    def own_text(_batch: Tensor, _head: Tensor, one: Tensor, other: Tensor) -> Tensor:
        return (one >= other) & (numbers[one] == numbers[other])

    def flexed() -> Callable[[], Tensor]:
        mask = create_block_mask(own_text, None, None, packing.tokens, packing.tokens, device=device)
        attend = compiled(flex_attention, device) if device.type == "cuda" else flex_attention
        return lambda: attend(query, key, value, block_mask=mask)

    @torch.no_grad()
    def difference(one: Tensor, other: Tensor) -> float:
        return float((one - other).float().norm() / other.float().norm())

    def timed(make: Callable[[], Callable[[], Tensor]]) -> Figures:
        attend = make()
        return time_steps(lambda _: torch.autograd.grad(attend(), (query, key, value), slope), device, budget=1.0) | {
            "difference": difference(attend(), padded())
        }

    report.measure(f"attention, {name} | padded SDPA", partial(timed, lambda: padded))
    report.measure(f"attention, {name} | FlexAttention", partial(timed, flexed))


def run(report: Report, tiny: bool) -> None:
    """Attention, then the head, then whole steps."""
    torch.set_float32_matmul_precision("high")
    lengths = np.random.default_rng(0).integers(70, 111, 4 if tiny else 512).tolist()
    attention_trials(report, 2 if tiny else 8, 32 if tiny else 256, lengths[:64], "64 texts of 70 to 110, width 256")
    attention_trials(report, 2 if tiny else 3, 32 if tiny else 64, lengths, "512 texts of 70 to 110, width 64")
    shape: Shape = shapes(tiny)[0]
    setting = setting_of(shape, "bfloat16", report.device)
    head_trials(report, setting, 64 if tiny else 16384)
    cache, upper = cache_of(setting), UpperModel(setting.base, shape.layer)
    step_trials(report, setting, upper, cache, shape.fleets[0])
