"""Hidden states below a memory on disk, shared by every run, sweep and evaluation that needs the same ones."""

import hashlib
import json
import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from simset_bench.console import note, track
from simset_bench.errors import CannotBeWritten, RequestError
from simset_bench.files import whole_file
from simset_bench.models.loading import Base
from simset_bench.models.sources import cache_folder
from simset_bench.models.split import hidden_states_at
from simset_bench.models.writable_cache import cache_is_writable
from simset_bench.strict_json import parse_json
from simset_bench.training.data.hidden_states import HiddenCache, fill_batches, fill_cache, segment_starts
from simset_bench.training.data.segments import Segment, collate
from simset_bench.training.processes import ALONE, Processes

LIMIT_VARIABLE = "SIMSET_BENCH_PREFIX_CACHE_GB"
_DEFAULT_LIMIT_GB = 20.0
_SUFFIX = ".safetensors"
_SAFETENSORS_NAMES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}
_CHUNK = 1 << 24


def prefix_folder() -> Path:
    """Folder of the files, one for each layer of a model and set of segments."""
    return cache_folder() / "prefix"


def size_limit() -> int:
    """Most bytes that the files take together: `$SIMSET_BENCH_PREFIX_CACHE_GB`, 20 unless set; 0 turns the cache off.

    Raises RequestError where the variable is no number of 0 or more.
    """
    text = os.environ.get(LIMIT_VARIABLE, str(_DEFAULT_LIMIT_GB))
    try:
        limit = float(text)
    except ValueError:
        limit = -1.0
    if not 0 <= limit < 1e9:
        raise RequestError(f"{LIMIT_VARIABLE}={text}: must be a number of gigabytes, 0 or more")
    return int(limit * 1e9)


def cached_states(
    base: Base, layers: Sequence[int], segments: Sequence[Segment], layer: int, processes: Processes = ALONE
) -> HiddenCache:
    """Hidden states at block `layer`, from the cache. One forward pass fills all of `layers` that are missing.

    A damaged or foreign file is noted and made anew. States that exceed the limit are kept in memory, and so are all
    where the cache cannot be written or its disk is full. Processes that
    share a base run it together: if one lacks the states, all of them fill the cache.
    """
    wanted = sorted({*layers, layer})
    size = sum(len(segment.token_ids) for segment in segments) * base.width * base.dtype.itemsize
    limit = size_limit()
    if base.dtype not in _SAFETENSORS_NAMES or size > limit:
        return fill_cache(base, layer, segments, prefix_folder() / f".beyond-limit-{os.getpid()}")
    missing = [each for each in wanted if _open(base, each, segments, verify=each == layer) is None]
    if not processes.all_agree(layer not in missing) and processes.all_agree(cache_is_writable()):
        # As many layers at a time as the limit has room for, `layer` first.
        filled = sorted({*missing, layer}, key=lambda each: each != layer)[: max(1, limit // size)]
        _fill(base, filled, segments, limit, processes)
    cache = _open(base, layer, segments, verify=False)
    is_there = processes.all_agree(cache is not None)
    # Another process may have evicted the file in between.
    return cache if cache is not None and is_there else fill_cache(base, layer, segments)


def _identity(base: Base, layer: int, segments: Sequence[Segment]) -> dict[str, Any]:
    """What the states depend on. The token ids stand for corpus, grouping, segment length and tokenisation."""
    digest = hashlib.sha256()
    for segment in segments:
        digest.update(len(segment.token_ids).to_bytes(4, "little"))
        digest.update(np.array(segment.token_ids, dtype="<i8").tobytes())
    return {
        "model": base.name,
        "revision": base.revision,
        "layer": layer,
        "tokens": digest.hexdigest(),
        "dtype": _SAFETENSORS_NAMES[base.dtype],
        # Matrix products of other devices and libraries differ in their last bits.
        "device": base.device.type,
        "torch": torch.__version__,
    }


def _path(identity: dict[str, Any]) -> Path:
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]
    return prefix_folder() / f"{key}{_SUFFIX}"


def _open(base: Base, layer: int, segments: Sequence[Segment], *, verify: bool) -> HiddenCache | None:
    """The memory-mapped file of a layer, or None where it is missing, damaged or of another model or corpus."""
    identity = _identity(base, layer, segments)
    path = _path(identity)
    starts = segment_starts(segments)
    try:
        header, offset = _read_header(path)
        made = parse_json(header["__metadata__"]["prefix"])
        states = header["states"]
        if made["identity"] != identity or states["shape"] != [int(starts[-1]), base.width]:
            raise ValueError("of another model or corpus")
        mapped = np.memmap(path, dtype=np.uint8, mode="c", offset=offset, shape=(states["data_offsets"][1],))
        if verify and _sha256(mapped) != made["sha256"]:
            raise ValueError("its checksum is wrong")
        # The time of the last use decides what goes first when room is needed.
        with suppress(OSError):
            os.utime(path)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        note(f"{path}: damaged or foreign ({error}), made anew")
        with suppress(OSError):
            path.unlink(missing_ok=True)
        return None
    return HiddenCache(torch.from_numpy(mapped).view(base.dtype).view(-1, base.width), starts)


def _read_header(path: Path) -> tuple[dict[str, Any], int]:
    """A safetensors file's header, and where its data start. Raises ValueError for another kind of file."""
    with path.open("rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        if not 0 < length < 1 << 20:
            raise ValueError("not a safetensors file")
        return dict(parse_json(handle.read(length))), 8 + length


def _sha256(data: np.ndarray) -> str:
    digest = hashlib.sha256()
    for start in track(range(0, len(data), _CHUNK), "checking hidden states"):
        digest.update(data[start : start + _CHUNK].data)
    return digest.hexdigest()


def _fill(base: Base, layers: Sequence[int], segments: Sequence[Segment], limit: int, processes: Processes) -> None:
    """Run every segment once up to the highest of `layers`, and write each layer's file, whole or not at all.

    Of several processes each runs all segments, since weights are gathered from all; ends when the files are written.
    """
    passes = _passes(base, layers, segments)
    try:
        if processes.is_first_here:
            _write(base, layers, segments, limit, passes)
    except (OSError, CannotBeWritten) as error:
        note(f"{prefix_folder()} cannot hold hidden states ({error}): kept in memory")
    if processes.count > 1:
        deque(passes, maxlen=0)
    processes.all_agree(True)


def _passes(base: Base, layers: Sequence[int], segments: Sequence[Segment]) -> Iterator[tuple[list[int], list[Tensor]]]:
    """Segments' numbers, and their hidden states at each layer, on the CPU, one padded batch after the other."""
    for rows in track(fill_batches(segments), f"hidden states below the memory, {len(layers)} layers"):
        batch = collate(segments, rows, base.tokenizer.pad_token_id)
        states = hidden_states_at(base, layers, batch.input_ids.to(base.device))
        yield rows, [hidden.cpu() for hidden in states]


def _write(
    base: Base,
    layers: Sequence[int],
    segments: Sequence[Segment],
    limit: int,
    passes: Iterator[tuple[list[int], list[Tensor]]],
) -> None:
    starts = segment_starts(segments)
    shape = (int(starts[-1]), base.width)
    identities = [_identity(base, layer, segments) for layer in layers]
    paths = [_path(identity) for identity in identities]
    _evict(shape[0] * shape[1] * base.dtype.itemsize * len(layers), limit, keep=set(paths))
    with ExitStack() as stack:
        files = [stack.enter_context(whole_file(path)) for path in paths]
        pairs = zip(files, identities, strict=True)
        rooms = [_make_room(file, identity, shape, base.dtype) for file, identity in pairs]
        for rows, hidden_of_layers in passes:
            for room, hidden in zip(rooms, hidden_of_layers, strict=True):
                states = torch.from_numpy(room).view(base.dtype).view(shape)
                for place, row in enumerate(rows):
                    length = int(starts[row + 1] - starts[row])
                    states[starts[row] : starts[row + 1]] = hidden[place, :length]
        for file, identity, room in zip(files, identities, rooms, strict=True):
            room.flush()
            with file.open("r+b") as handle:
                handle.write(_header(identity, _sha256(room), shape, base.dtype))


def _header(identity: dict[str, Any], digest: str, shape: tuple[int, int], dtype: torch.dtype) -> bytes:
    """A safetensors header, as long whatever the digest."""
    size = shape[0] * shape[1] * dtype.itemsize
    made = {"identity": identity, "sha256": digest}
    header = {
        "__metadata__": {"prefix": json.dumps(made, sort_keys=True)},
        "states": {"dtype": _SAFETENSORS_NAMES[dtype], "shape": list(shape), "data_offsets": [0, size]},
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _make_room(path: Path, identity: dict[str, Any], shape: tuple[int, int], dtype: torch.dtype) -> np.memmap:
    """A file of the right size with a header that no reader accepts yet; its data, mapped for writing as bytes."""
    header = _header(identity, "0" * 64, shape, dtype)
    size = shape[0] * shape[1] * dtype.itemsize
    with path.open("wb") as handle:
        handle.write(header)
        # Reserved at once, so that a full disk is an error here and not a crash in mid-filling.
        os.posix_fallocate(handle.fileno(), len(header), size)
    return np.memmap(path, dtype=np.uint8, mode="r+", offset=len(header), shape=(size,))


def _evict(needed: int, limit: int, keep: set[Path]) -> None:
    """Remove the least recently used files until `needed` more bytes fit under the limit.

    A process that has one mapped keeps its data until it lets go.
    """
    files = []
    for path in prefix_folder().glob(f"*{_SUFFIX}"):
        try:
            files.append((path.stat().st_mtime_ns, path.stat().st_size, path))
        except FileNotFoundError:
            continue
    taken = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if taken + needed <= limit:
            return
        if path not in keep:
            path.unlink(missing_ok=True)
            taken -= size
