"""Packing a study: its entries in two files instead of a folder each."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from simset_bench.console import track
from simset_bench.errors import RequestError
from simset_bench.files import clear_leftovers
from simset_bench.leaderboard.entries import checked_name, entry_name, held_entries, make_entry, remove_entry
from simset_bench.leaderboard.verify import verify_entry
from simset_bench.results.entry_files import ENTRY, files_of
from simset_bench.results.packed import (
    PACKED,
    RUNS,
    SAMPLES,
    STUDY,
    PackedRun,
    as_packed,
    check_entry_name,
    is_packed,
    packed_runs,
    same_run,
    write_packed,
)
from simset_bench.results.packed_columns import Block, columns_of
from simset_bench.results.samples import PARQUET, read_samples
from simset_bench.results.search import SEARCH
from simset_bench.strict_json import brief, parse_json, read_object
from simset_bench.training.run_folder import EVALUATIONS, MANIFEST


@dataclass(frozen=True)
class PackedStudy:
    """What a packed study holds: how many entries, how many of these were added or replaced, and its size in bytes."""

    folder: Path
    entries: int
    added: int
    bytes: int


def pack_study(folder: Path, others: Sequence[Path] = (), runs: Sequence[Path] = ()) -> PackedStudy:
    """Pack the entries below a folder, those of `others` (single or packed) and finished, evaluated `runs`.

    The folder's single entries are removed once they are packed; `others` stay as they are. An entry of the folder and
    a run replace the packed entry of their name. The same entries give the same bytes, whatever was packed first.
    Raises RequestError, and changes nothing, where an entry is refused, where one of `others` is not the entry that has
    its name already, and where there is nothing to pack.
    """
    if not folder.is_dir() and not runs:
        raise RequestError(f"{folder}: there is no such folder")
    with held_entries(folder):
        clear_leftovers(folder / PACKED)
        # Who is killed leaves its lock, and only who holds the entries takes this one.
        (folder / f".{PACKED}.lock").unlink(missing_ok=True)
        _check_replaceable(folder)
        before = open_packed(folder) if is_packed(folder) else {}
        singles = _singles(folder)
        kept = _gathered(folder, before, singles, runs, others)
        if not kept:
            raise RequestError(f"{folder}: there are no entries to pack (simset-bench submit makes one of a run)")
        added = [name for name, run in kept.items() if name not in before or not same_run(before[name], run)]
        if added:
            write_packed(folder, kept.values())
        for entry in singles:
            remove_entry(entry)
    size = sum(path.stat().st_size for path in (folder / PACKED).iterdir())
    return PackedStudy(folder, len(kept), len(added), size)


def _gathered(
    folder: Path, before: Mapping[str, PackedRun], singles: Sequence[Path], runs: Sequence[Path], others: Sequence[Path]
) -> dict[str, PackedRun]:
    """All entries by name. Columns that several have are held once, also while they are gathered."""
    known: dict[bytes, Block] = {}
    kept = {name: as_packed(run, known) for name, run in before.items()}
    for entry in track(singles, "packing entries"):
        kept[entry.name] = as_packed(packed_entry(entry), known)
    for run in track(runs, "packing entries"):
        packed = _of_run(run, kept)
        kept[packed.name] = as_packed(packed, known)
    for other in others:
        for name, added in _entries(other):
            packed = as_packed(added, known)
            if name in kept and not same_run(kept[name], packed):
                raise RequestError(f"{other}: has another entry by the name {name} than {folder}")
            kept.setdefault(name, packed)
    return kept


def _check_replaceable(folder: Path) -> None:
    """Raise RequestError where the place of the packed form holds anything else."""
    place = folder / PACKED
    if not place.is_dir():
        return
    others = sorted({path.name for path in place.iterdir()} - {STUDY, RUNS, SAMPLES})
    if others:
        raise RequestError(
            f"{place}: holds {brief(others[0])}, which is no file of a packed study, so it was left alone"
        )


def _singles(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob(f"[!.]*/{ENTRY}"))


def open_packed(folder: Path) -> dict[str, PackedRun]:
    """The runs of a packed study by name. Raises RequestError that says why it is refused."""
    try:
        return dict(packed_runs(folder))
    except (OSError, ValueError) as error:
        raise RequestError(f"{folder / PACKED}: refused: {' '.join(str(error).split())}") from error


def _entries(folder: Path) -> Iterator[tuple[str, PackedRun]]:
    """The entries below a folder, single ones first."""
    if not folder.is_dir():
        raise RequestError(f"{folder}: there is no such folder")
    singles = _singles(folder)
    if not singles and not is_packed(folder):
        raise RequestError(f"{folder}: holds no entries, neither in folders nor packed")
    yield from ((entry.name, packed_entry(entry)) for entry in track(singles, "packing entries"))
    if is_packed(folder):
        yield from open_packed(folder).items()


def _of_run(run: Path, kept: dict[str, PackedRun]) -> PackedRun:
    """The packed entry of a run: the one of `kept` where that has the run's results and search, else a new one."""
    manifest = read_object(run / MANIFEST)
    former = kept.get(entry_name(run, manifest))
    results = {f"{EVALUATIONS}/{path.name}": path.read_bytes() for path in (run / EVALUATIONS).glob("[!.]*.json")}
    if former is not None and parse_json(former.texts[MANIFEST]).get(SEARCH) == manifest.get(SEARCH):
        texts = {n: text.encode() for n, text in former.texts.items() if n.startswith(f"{EVALUATIONS}/")}
        if results == texts:
            return former
    with tempfile.TemporaryDirectory(prefix="simset-bench-") as folder:
        made = Path(folder) / checked_name(run)
        make_entry(run, made)
        return packed_entry(made, check=False)


def packed_entry(entry: Path, check: bool = True) -> PackedRun:
    """An entry's folder in packed form. Raises RequestError where the entry is refused."""
    try:
        check_entry_name(entry.name)
    except ValueError as error:
        raise RequestError(f"{entry}: {error}: rename its folder") from error
    if check:
        verify_entry(entry)
    names = [name for name in files_of(entry) if not name.endswith(PARQUET)]
    texts = {name: (entry / name).read_bytes().decode("utf-8") for name in names}
    stems = [Path(name).stem for name in names if name.startswith(f"{EVALUATIONS}/")]
    samples = {stem: columns_of(read_samples(entry / EVALUATIONS / f"{stem}{PARQUET}")) for stem in stems}
    return PackedRun(entry.name, str(read_object(entry / ENTRY).get("made_with")), texts, samples)
