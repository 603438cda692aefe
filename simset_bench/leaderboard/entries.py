"""Entries of a leaderboard: the results of a run, without its weights, with a hash of each file."""

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from simset_bench.errors import RequestError
from simset_bench.files import exchanged, sha256_of_file, waiting_lock, write_json
from simset_bench.leaderboard.overlap import OVERLAP, overlap_of
from simset_bench.leaderboard.verify import check_entry
from simset_bench.package import VERSION
from simset_bench.results.entry_files import ENTRY, ENTRY_SCHEMA, KIND, files_of
from simset_bench.results.forms import BASELINE, checked_manifest
from simset_bench.results.run_options import read_options
from simset_bench.results.samples import PARQUET, read_samples, samples_file, write_samples
from simset_bench.strict_json import read_object
from simset_bench.training.chain import CHAIN, FORGOT
from simset_bench.training.model_card import README, write_card
from simset_bench.training.run_folder import CONFIG, EVALUATIONS, MANIFEST, METRICS, check_hashes, open_finished

_LOCK = ".submit.lock"
# Folders in which entries are made; one that is there while nobody holds the lock was left by a killed command.
_UNFINISHED = ".entry-"
_FORMER = "former"


def pack_entry(run: Path, root: Path) -> Path:
    """Pack a finished, evaluated run as an entry below `root`, and return its folder.

    Packing the same run again replaces its entry, once the new one is verified. Where a command was killed, the next
    one clears what it left. Raises RequestError if the run is not finished, not evaluated or damaged, and where `root`
    cannot be written.
    """
    place = root / checked_name(run)
    if place.exists() and not (place / ENTRY).is_file():
        raise RequestError(f"{place}: exists and is not an entry, so it was left as it is")
    with held_entries(root), tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=root) as folder:
        made = Path(folder) / place.name
        make_entry(run, made)
        _put(made, place, Path(folder) / _FORMER)
    return place


def write_run_card(run: Path) -> Path | None:
    """Write the hub's card and results into the folder of an evaluated run, and return the card's path.

    None for a bare base, which is no model of its own, and for a folder that takes no files.
    """
    if _manifest(run)["kind"] == BASELINE or not os.access(run, os.W_OK):
        return None
    write_card(run, open_finished(run).config, run)
    return run / README


def checked_name(run: Path) -> str:
    """The name of a run's entry. Raises RequestError where the run is not finished, not evaluated or damaged."""
    for name in (CONFIG, MANIFEST):
        if not (run / name).is_file():
            raise RequestError(f"{run / name}: missing, so {run} is not a finished run")
    if not _results(run):
        raise RequestError(f"{run}: was not evaluated (simset-bench eval {run} --task docmem does it)")
    manifest = _manifest(run)
    if manifest["kind"] != BASELINE:
        open_finished(run)
        check_hashes(run)
    return entry_name(run, manifest)


def _results(run: Path) -> list[Path]:
    return sorted((run / EVALUATIONS).glob("[!.]*.json"))


def make_entry(run: Path, made: Path) -> None:
    """Write the entry of a checked run as folder `made`, and verify it. Raises RequestError where it is refused."""
    _fill(made, run, _results(run))
    try:
        check_entry(made)
    except (OSError, ValueError) as error:
        raise RequestError(f"{run}: is damaged, its entry would be refused: {' '.join(str(error).split())}") from error


@contextmanager
def held_entries(root: Path) -> Iterator[None]:
    """Hold the lock of a folder of entries, which is made if need be, without what killed commands left in it."""
    with waiting_lock(root / _LOCK):
        for leftover in root.glob(f"{_UNFINISHED}*"):
            for former in (leftover / _FORMER).glob("*"):
                if not (root / former.name).exists():
                    former.rename(root / former.name)
            _remove(leftover)
        yield


def remove_entry(entry: Path) -> None:
    """Remove an entry within `held_entries`; where that is interrupted, no part of it is left in its place."""
    _remove(entry.rename(entry.with_name(f"{_UNFINISHED}{entry.name}")))


def _remove(entry: Path) -> None:
    """Remove a folder; of a symbolic link the link alone, since what it leads to belongs to somebody else."""
    if entry.is_symlink():
        entry.unlink()
    else:
        shutil.rmtree(entry)


def _put(made: Path, place: Path, aside: Path) -> None:
    """Put an entry in its place. Where two folders cannot change places, the former one is moved aside first."""
    if not place.exists():
        made.rename(place)
        return
    if exchanged(made, place):
        return
    aside.mkdir()
    former = place.rename(aside / place.name)
    try:
        made.rename(place)
    except BaseException:
        former.rename(place)
        raise


def _fill(made: Path, run: Path, results: list[Path]) -> None:
    (made / EVALUATIONS).mkdir(parents=True)
    for name in (CONFIG, MANIFEST, METRICS):
        if (run / name).is_file():
            shutil.copyfile(run / name, made / name)
    for result in results:
        samples = samples_file(result)
        try:
            records = read_samples(samples)
        except (OSError, ValueError) as error:
            raise RequestError(f"{samples}: missing or damaged ({error}); evaluate the run again") from error
        shutil.copyfile(result, made / EVALUATIONS / result.name)
        write_samples(made / EVALUATIONS / f"{result.stem}{PARQUET}", records)
    bands = overlap_of(run)
    if bands:
        write_json(made / OVERLAP, bands)
    files = {name: sha256_of_file(made / name) for name in files_of(made)}
    write_json(made / ENTRY, {"schema": ENTRY_SCHEMA, "kind": KIND, "made_with": VERSION, "files": files})


def _manifest(run: Path) -> dict[str, Any]:
    try:
        return checked_manifest(read_object(run / MANIFEST))
    except (OSError, ValueError) as error:
        raise RequestError(f"{run / MANIFEST}: damaged ({error})") from error


def entry_name(run: Path, manifest: dict[str, Any]) -> str:
    """A readable and unique folder name for a run's entry."""
    try:
        config = read_options(run / CONFIG)
    except (OSError, ValueError) as error:
        raise RequestError(f"{run / CONFIG}: damaged ({error})") from error
    method = manifest.get("method") or ("base" if manifest.get("kind") == "baseline" else "memory")
    parts = [str(manifest.get("model")), *([] if method == "memory" else [str(method)])]
    named = {"layer": "layer", "num_docs": "docs", "allocation": "", "alpha": "alpha", "mem_seed": "seed"}
    parts += [f"{short}{config[name]}" for name, short in named.items() if config.get(name) is not None]
    parts += [f"stage{len(manifest[CHAIN]) + 1}"] if manifest.get(CHAIN) else []
    parts += ["forgot"] if manifest.get(FORGOT) else []
    hashes = json.dumps([manifest["hashes"].get(name) for name in ("model", "corpus", "memory", "config")])
    readable = re.sub(r"[^A-Za-z0-9.]+", "-", "_".join(parts)).strip("-.")[:100]
    return f"{readable}_{hashlib.sha256(hashes.encode()).hexdigest()[:10]}"
