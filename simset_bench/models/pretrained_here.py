"""World models, which are on no hub: `simset-bench pretrain` makes them when they are first used."""

import subprocess
import sys
from pathlib import Path

from simset_bench.console import note, stderr
from simset_bench.errors import RequestError
from simset_bench.models.presets import WORLD_SIZES, Preset
from simset_bench.models.sources import is_model_folder, world_folder
from simset_bench.models.writable_cache import folder_for_model

# By its number: what stands for it in Python may be no file.
_STANDARD_ERROR = 2


def make_world(preset: Preset) -> Path:
    """The folder of a world model, which is pretrained first unless it is here already.

    Raises RequestError where its pretraining fails.
    """
    if is_model_folder(world_folder(preset)):
        return world_folder(preset)
    folder = folder_for_model(world_folder(preset))
    if is_model_folder(folder):
        return folder
    note(
        f"{preset.name} is not here yet: it is pretrained in {folder} (once; about "
        f"{WORLD_SIZES[preset.location].minutes} minutes on two processor cores, less on a GPU)"
    )
    # In a process of its own, since pretraining reads corpora and trains, which nothing in this folder may import.
    command = [sys.executable, "-m", "simset_bench", "pretrain", "--type", preset.type, "--size", preset.location]
    command += ["--output", str(folder)]
    quiet = ["--quiet"] if stderr.quiet else []
    if subprocess.run([*command, *quiet], stdout=_STANDARD_ERROR, check=False).returncode:
        raise RequestError(f"model {preset.name}: its pretraining failed; `simset-bench pretrain` resumes it")
    return folder
