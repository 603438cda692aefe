"""Hidden states below the memory of a stream of segments, kept on disk up to a limit."""

import errno
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from simset_bench.console import note
from simset_bench.models.loading import Base
from simset_bench.models.split import hidden_states
from simset_bench.training.segments import Batch


@dataclass
class CacheAccount:
    """What a cache did: segments found in it, computed, and left out for want of room; bytes it holds and may hold."""

    found: int = 0
    computed: int = 0
    bytes_held: int = 0
    bytes_limit: int = 0
    without_room: int = 0


class PrefixCache:
    """Hidden states of segments by their numbers, in a file without a name in `folder`, which goes with the process.

    The first segments that come fill it; where it is full, or the disk is, the others are computed again in each epoch:
    in a stream that is read from its beginning each time, replacing old ones by new ones would find none again.
    """

    def __init__(self, folder: Path, limit_bytes: int, segments: int) -> None:
        self.account = CacheAccount(bytes_limit=limit_bytes)
        self.is_full = False
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - open as long as the cache is
        # Eight bytes a segment: where its states begin in the file, -1 for none.
        self._starts = torch.full((segments,), -1, dtype=torch.int64)

    def hidden(self, base: Base, layer: int, batch: Batch, keep: bool) -> Tensor:
        """Hidden states (batch, tokens, width) of a batch on the base's device, padded with zeros.

        Those that are not held are computed, and held if `keep` and there is room.
        """
        lengths = [int(real.nonzero()[-1]) + 1 for real in batch.real]
        padded = torch.zeros(*batch.input_ids.shape, base.width, dtype=base.dtype)
        absent = [place for place, row in enumerate(batch.rows) if self._starts[row] < 0]
        for place, row in enumerate(batch.rows):
            if self._starts[row] >= 0:
                padded[place, : lengths[place]] = self._read(int(self._starts[row]), lengths[place], base)
        if absent:
            longest = max(lengths[place] for place in absent)
            computed = hidden_states(base, layer, batch.input_ids[absent, :longest].to(base.device)).cpu()
            for place, states in zip(absent, computed, strict=True):
                padded[place, : lengths[place]] = states[: lengths[place]]
                if keep:
                    self._hold(batch.rows[place], states[: lengths[place]])
        self.account.found += len(batch.rows) - len(absent)
        self.account.computed += len(absent)
        return padded.to(base.device)

    def as_dict(self) -> dict[str, int]:
        """The account as a run's manifest records it."""
        return asdict(self.account)

    def _read(self, start: int, length: int, base: Base) -> Tensor:
        size = length * base.width * base.dtype.itemsize
        data = bytearray(os.pread(self._file.fileno(), size, start))
        return torch.frombuffer(data, dtype=base.dtype).view(length, base.width)

    def _hold(self, row: int, states: Tensor) -> None:
        data = states.contiguous().view(torch.uint8).numpy().tobytes()
        held = self.account.bytes_held
        self.is_full = self.is_full or held + len(data) > self.account.bytes_limit
        if self.is_full:
            self.account.without_room += 1
            return
        try:
            written = os.pwrite(self._file.fileno(), data, held)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            written = 0
        if written < len(data):
            note(f"prefix cache: the disk is full, going on with the {held / 1e9:.1f} GB that are held")
            self.is_full = True
            self.account.without_room += 1
            return
        self._starts[row] = held
        self.account.bytes_held += len(data)
