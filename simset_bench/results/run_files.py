"""The files of runs, in folders of their own or in a packed study: one path names a file in either."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from simset_bench.errors import RequestError, alike, did_you_mean
from simset_bench.results.packed import PACKED, PackedRun, is_packed, packed_runs
from simset_bench.strict_json import as_object, parse_json, read_text
from simset_bench.training.strict_yaml import parse_yaml, read_yaml

_EVALUATIONS = "eval"


def packed_run(path: Path) -> tuple[PackedRun, str] | None:
    """The packed run that a path leads into, and the name of its file there; None for any other path.

    `STUDY/NAME` is the run NAME of the packed study in folder STUDY (the file's name is then empty), and
    `STUDY/NAME/eval/docmem.free.json` a file of it. A folder of that name goes first. Raises ValueError where the
    packed study is damaged.
    """
    for folder in list(path.parents)[:3]:
        if folder.is_dir():
            name, *rest = path.relative_to(folder).parts
            if (folder / name).exists() or not is_packed(folder):
                return None
            run = packed_runs(folder).get(name)
            return None if run is None else (run, "/".join(rest))
    return None


def check_packed(folder: Path) -> PackedRun:
    """The packed run of a path STUDY/NAME. Raises RequestError that names a near miss, or why the study is refused."""
    study = folder.parent
    if not is_packed(study):
        raise RequestError(f"{folder}: there is no such folder")
    try:
        names = packed_runs(study)
    except (OSError, ValueError) as error:
        raise RequestError(f"{study / PACKED}: refused: {' '.join(str(error).split())}") from error
    if folder.name not in names:
        near = did_you_mean(folder.name, alike(folder.name, names))
        raise RequestError(f"{folder}: {study} has no such entry{near}, neither packed nor in a folder")
    return names[folder.name]


def is_there(path: Path) -> bool:
    """Whether there is such a file of a run."""
    if path.is_file():
        return True
    inside = packed_run(path)
    return inside is not None and inside[1] in inside[0].texts


def text_of(path: Path) -> str:
    """The text of a run's file of JSON or YAML. Raises what `read_text` raises."""
    inside = packed_run(path)
    if inside is None or inside[1] not in inside[0].texts:
        return read_text(path)
    return inside[0].texts[inside[1]]


def object_of(path: Path) -> dict[str, Any]:
    """The object that a run's JSON file holds. Raises what `read_object` raises."""
    return as_object(parse_json(text_of(path)))


def yaml_of(path: Path) -> Any:
    """What a run's YAML file says. Raises what `read_yaml` raises."""
    inside = packed_run(path)
    return (
        read_yaml(path)
        if inside is None or inside[1] not in inside[0].texts
        else parse_yaml(inside[0].texts[inside[1]])
    )


def results_of(folder: Path) -> Sequence[Path]:
    """The paths of a run's results, sorted. Raises ValueError where a packed study is damaged."""
    inside = packed_run(folder)
    if inside is not None and not inside[1]:
        return [folder / name for name in sorted(inside[0].texts) if name.startswith(f"{_EVALUATIONS}/")]
    # A name that starts with a dot is of a file that a killed command did not finish.
    return sorted((folder / _EVALUATIONS).glob("[!.]*.json"))
