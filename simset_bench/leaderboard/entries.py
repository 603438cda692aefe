"""Entries of a leaderboard: the results of a run, without its weights, with a hash of each file."""

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simset_bench.errors import RequestError
from simset_bench.files import sha256_of_file, write_json
from simset_bench.leaderboard.overlap import OVERLAP, overlap_of
from simset_bench.package import VERSION
from simset_bench.results.samples import PARQUET, read_samples, samples_file, write_samples
from simset_bench.training.run_folder import CONFIG, EVALUATIONS, MANIFEST, METRICS

ENTRY = "entry.json"
ENTRY_SCHEMA = 1
KIND = "simset-bench entry"
# An entry holds results, samples, and what a run writes about itself, and nothing else.
ALLOWED = re.compile(
    r"config\.yaml|manifest\.json|metrics\.jsonl|overlap\.json|eval/[\w.@-]+(\.json|\.samples\.parquet)"
)


def pack_entry(run: Path, root: Path) -> Path:
    """Pack a finished, evaluated run as an entry below `root`, and return its folder.

    Packing the same run again replaces its entry. Raises RequestError if the run is not finished or not evaluated.
    """
    for name in (CONFIG, MANIFEST):
        if not (run / name).is_file():
            raise RequestError(f"{run / name}: missing, so {run} is not a finished run")
    results = sorted((run / EVALUATIONS).glob("[!.]*.json"))
    if not results:
        raise RequestError(f"{run}: was not evaluated (simset-bench eval {run} --task docmem does it)")
    manifest = _manifest(run)
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".entry-", dir=root) as folder:
        made = Path(folder) / "entry"
        _fill(made, run, results)
        files = {name: sha256_of_file(made / name) for name in files_of(made)}
        write_json(made / ENTRY, {"schema": ENTRY_SCHEMA, "kind": KIND, "made_with": VERSION, "files": files})
        place = root / entry_name(run, manifest)
        if place.exists():
            if not (place / ENTRY).is_file():
                raise RequestError(f"{place}: exists and is not an entry, so it was left as it is")
            # Move the former entry away first: a stop between the two leaves no entry rather than half of one.
            place.rename(Path(folder) / "former")
        made.rename(place)
    return place


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


def _manifest(run: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((run / MANIFEST).read_text(encoding="utf-8"))
        hashes = manifest["hashes"]
        if not all(isinstance(hashes[name], str) for name in ("model", "corpus", "config")):
            raise TypeError("a hash is not a text")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RequestError(f"{run / MANIFEST}: damaged ({type(error).__name__}: {error})") from error
    return dict(manifest)


def entry_name(run: Path, manifest: dict[str, Any]) -> str:
    """A readable and unique folder name for a run's entry."""
    import yaml

    config = yaml.safe_load((run / CONFIG).read_text(encoding="utf-8"))
    method = manifest.get("method") or ("base" if manifest.get("kind") == "baseline" else "memory")
    parts = [str(manifest.get("model")), *([] if method == "memory" else [str(method)])]
    named = {"layer": "layer", "num_docs": "docs", "allocation": "", "alpha": "alpha", "mem_seed": "seed"}
    parts += [f"{short}{config[name]}" for name, short in named.items() if config.get(name) is not None]
    hashes = json.dumps([manifest["hashes"].get(name) for name in ("model", "corpus", "memory", "config")])
    readable = re.sub(r"[^A-Za-z0-9.]+", "-", "_".join(parts)).strip("-.")[:100]
    return f"{readable}_{hashlib.sha256(hashes.encode()).hexdigest()[:10]}"


def files_of(folder: Path) -> list[str]:
    """The paths (with slashes, sorted) of all files below an entry's folder except `entry.json`."""
    return sorted(_files(folder))


def _files(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if (path.is_symlink() or not path.is_dir()) and name != ENTRY:
            yield name
