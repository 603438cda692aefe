"""Hidden states below the memory, computed once for all segments and kept in memory or on disk."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from simset_bench.console import note, track
from simset_bench.models.loading import Base
from simset_bench.models.split import hidden_states
from simset_bench.training.data.segments import Segment, collate

# Tokens in one forward pass while filling; bounds the memory of the blocks below, not of the cache.
FILL_TOKENS = 4096
# The least variance of a number of the hidden states that counts as one.
_TINY = 1e-6


@dataclass(frozen=True)
class HiddenCache:
    """`states` (all tokens, width) in the base's dtype; segment i has rows `starts[i]` to `starts[i + 1]`."""

    states: Tensor
    starts: Tensor

    def batch(self, rows: Sequence[int], device: torch.device) -> Tensor:
        """Hidden states of the segments `rows`, right-padded with zeros: (batch, tokens, width)."""
        lengths = [int(self.starts[row + 1] - self.starts[row]) for row in rows]
        padded = self.states.new_zeros(len(rows), max(lengths), self.states.shape[1])
        for place, (row, length) in enumerate(zip(rows, lengths, strict=True)):
            start = int(self.starts[row])
            padded[place, :length] = self.states[start : start + length]
        return padded.to(device)

    def packed(self, rows: Sequence[int], device: torch.device) -> Tensor:
        """Hidden states of the segments `rows`, end to end: (tokens, width)."""
        chosen = [self.states[self.starts[row] : self.starts[row + 1]] for row in rows]
        return torch.cat(chosen).to(device, non_blocking=True)

    def near(self, device: torch.device) -> "HiddenCache":
        """The cache on a GPU where its states take at most a quarter of what is free there, else as it is."""
        if device.type != "cuda" or self.states.nbytes > torch.cuda.mem_get_info(device)[0] // 4:
            return self
        return HiddenCache(self.states.to(device), self.starts)


def fill_cache(
    base: Base, layer: int, segments: Sequence[Segment], disk: Path | None = None, most_bytes: int | None = None
) -> HiddenCache:
    """Run every segment up to and with block `layer` once.

    Kept in memory up to `most_bytes` (None for a quarter of the machine's), beyond that on the disk, in a file without
    a name that was made as `disk` and goes with the process, unless that disk cannot be written or is full.
    """
    starts = segment_starts(segments)
    in_memory = quarter_of_memory() if most_bytes is None else most_bytes
    states = states_room(int(starts[-1]), base.width, base.dtype, disk, in_memory)
    for rows in track(fill_batches(segments), "hidden states below the memory"):
        batch = collate(segments, rows, base.tokenizer.pad_token_id)
        hidden = hidden_states(base, layer, batch.input_ids.to(base.device)).cpu()
        for place, row in enumerate(rows):
            states[starts[row] : starts[row + 1]] = hidden[place, : int(starts[row + 1] - starts[row])]
    return HiddenCache(states, starts)


def segment_starts(segments: Sequence[Segment]) -> Tensor:
    """Row at which each segment starts when all lie end to end, and the number of rows: (segments + 1,) int64."""
    lengths = torch.tensor([len(segment.token_ids) for segment in segments])
    return torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])


def mean_and_deviation(segments: Sequence[Segment], cache: HiddenCache) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (width,) float64 of hidden states over all tokens but each segment's first.

    A causal LM's first token has a state many times as long as the others', which would set both.
    """
    total = torch.zeros(cache.states.shape[1], dtype=torch.float64)
    squares, count = torch.zeros_like(total), 0
    for row, segment in enumerate(segments):
        states = cache.states[cache.starts[row] + max(1, segment.specials) : cache.starts[row + 1]].double()
        total += states.sum(0)
        squares += states.square().sum(0)
        count += len(states)
    mean = total / max(1, count)
    return mean, (squares / max(1, count) - mean.square()).clamp_min(_TINY).sqrt()


def quarter_of_memory() -> int:
    """A quarter of the machine's memory, in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4


def states_room(tokens: int, width: int, dtype: torch.dtype, disk: Path | None, in_memory: int) -> Tensor:
    """An empty tensor (tokens, width): in memory up to `in_memory` bytes, and beyond that in a file at `disk` if given.

    The file has no name and goes with the process. Where the disk cannot hold it, a note says so and it is memory.
    """
    size = tokens * width * dtype.itemsize
    if disk is None or size <= in_memory:
        return torch.empty(tokens, width, dtype=dtype)
    note(f"hidden states of {tokens} tokens take {size / 1e9:.1f} GB: kept on the disk of {disk.parent}")
    try:
        disk.parent.mkdir(parents=True, exist_ok=True)
        with disk.open("wb") as handle:
            # Reserved at once, so that a full disk is an error here and not a crash in mid-training.
            os.posix_fallocate(handle.fileno(), 0, size)
        return torch.from_file(str(disk), shared=True, size=tokens * width, dtype=dtype).view(tokens, width)
    except OSError as error:
        note(f"{disk.parent} cannot hold them ({error.strerror}): kept in memory")
        return torch.empty(tokens, width, dtype=dtype)
    finally:
        # The mapping keeps the space for as long as it lives, and no longer, however the process ends.
        with suppress(OSError):
            disk.unlink(missing_ok=True)


def fill_batches(segments: Sequence[Segment]) -> list[list[int]]:
    """Segments' numbers, longest first, grouped so that a padded batch holds at most FILL_TOKENS tokens."""
    lengths = [len(segment.token_ids) for segment in segments]
    batches: list[list[int]] = []
    for row in sorted(range(len(segments)), key=lambda row: -lengths[row]):
        if batches and lengths[batches[-1][0]] * (len(batches[-1]) + 1) <= FILL_TOKENS:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches
