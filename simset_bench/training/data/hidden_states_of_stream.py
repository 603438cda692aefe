"""Hidden states below the memory of a stream of segments, kept on disk up to the prefix cache's limit."""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import IO

import torch
from torch import Tensor

from simset_bench.console import note
from simset_bench.files import OUT_OF_ROOM
from simset_bench.models.loading import Base
from simset_bench.models.split import hidden_states
from simset_bench.models.writable_cache import cache_is_writable
from simset_bench.training.data.hidden_states_on_disk import prefix_folder
from simset_bench.training.data.segments import Segment, collate


@dataclass
class CacheAccount:
    """What a cache did: segments read from it (`found`), computed, and not kept for lack of room; bytes and limit."""

    found: int = 0
    computed: int = 0
    bytes_held: int = 0
    bytes_limit: int = 0
    without_room: int = 0


class StreamCache:
    """Hidden states of segments by their numbers, in a file without a name, which goes with the process.

    The first segments fill it. Once it or the disk is full, the others are computed again in each epoch: each epoch
    reads the stream from its beginning, so a cache that replaced old segments by new ones would never be hit.
    """

    def __init__(self, limit_bytes: int, segments: int) -> None:
        self.account = CacheAccount(bytes_limit=limit_bytes)
        # Open as long as the cache is, and None where none can be made.
        self._file: IO[bytes] | None = _file_without_name() if limit_bytes else None
        self.is_full = self._file is None
        # Eight bytes a segment: where its states begin in the file, -1 for none.
        self._starts = torch.full((segments,), -1, dtype=torch.int64)

    def packed(self, base: Base, layer: int, rows: Sequence[int], segments: Sequence[Segment], keep: bool) -> Tensor:
        """Hidden states of segments, numbered `rows`, end to end: (tokens, width) on the base's device.

        Those that are not held are computed, and held if `keep` and there is room.
        """
        states: dict[int, Tensor] = {}
        absent = []
        for row, segment in zip(rows, segments, strict=True):
            if self._starts[row] < 0:
                absent.append((row, segment))
            else:
                states[row] = self._read(int(self._starts[row]), len(segment.token_ids), base)
        if absent:
            batch = collate([segment for _, segment in absent], range(len(absent)), base.tokenizer.pad_token_id)
            computed = hidden_states(base, layer, batch.input_ids.to(base.device)).cpu()
            for (row, segment), hidden in zip(absent, computed, strict=True):
                states[row] = hidden[: len(segment.token_ids)]
                if keep:
                    self._hold(row, states[row])
        self.account.found += len(rows) - len(absent)
        self.account.computed += len(absent)
        return torch.cat([states[row] for row in rows]).to(base.device)

    def as_dict(self) -> dict[str, int]:
        """The account as a run's manifest records it."""
        return asdict(self.account)

    def _read(self, start: int, length: int, base: Base) -> Tensor:
        size = length * base.width * base.dtype.itemsize
        assert self._file is not None
        data = bytearray(os.pread(self._file.fileno(), size, start))
        return torch.frombuffer(data, dtype=base.dtype).view(length, base.width)

    def _hold(self, row: int, states: Tensor) -> None:
        data = states.contiguous().view(torch.uint8).numpy().tobytes()
        held = self.account.bytes_held
        self.is_full = self.is_full or held + len(data) > self.account.bytes_limit
        if self.is_full or self._file is None:
            self.account.without_room += 1
            return
        try:
            written = os.pwrite(self._file.fileno(), data, held)
        except OSError as error:
            if error.errno not in OUT_OF_ROOM:
                raise
            written = 0
        if written < len(data):
            note(f"prefix cache: the disk is full, going on with the {held / 1e9:.1f} GB that are held")
            self.is_full = True
            self.account.without_room += 1
            return
        self._starts[row] = held
        self.account.bytes_held += len(data)


def _file_without_name() -> IO[bytes] | None:
    if not cache_is_writable():
        return None
    try:
        prefix_folder().mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryFile(dir=prefix_folder())
    except OSError as error:
        note(f"prefix cache: {prefix_folder()} cannot be written ({error.strerror}), going on without it")
        return None
