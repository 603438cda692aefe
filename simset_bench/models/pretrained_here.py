"""World models, which are on no hub: `simset-bench pretrain` makes them when they are first used."""

import subprocess
import sys

from simset_bench.console import note, stderr
from simset_bench.errors import RequestError
from simset_bench.models.presets import WORLD_SIZES, Preset
from simset_bench.models.sources import is_model_folder, world_folder

# By its number: what stands for it in Python may be no file.
_STANDARD_ERROR = 2


def make_world(preset: Preset) -> None:
    """Pretrain a world model unless it is here already. Raises RequestError where its pretraining fails."""
    folder = world_folder(preset)
    if is_model_folder(folder):
        return
    note(
        f"{preset.name} is not here yet: it is pretrained in {folder} (once; about "
        f"{WORLD_SIZES[preset.location].minutes} minutes on two processor cores, less on a GPU)"
    )
    # In a process of its own, since pretraining reads corpora and trains, which nothing in this folder may import.
    command = [sys.executable, "-m", "simset_bench", "pretrain", "--type", preset.type, "--size", preset.location]
    quiet = ["--quiet"] if stderr.quiet else []
    if subprocess.run([*command, *quiet], stdout=_STANDARD_ERROR, check=False).returncode:
        raise RequestError(f"model {preset.name}: its pretraining failed; `simset-bench pretrain` resumes it")
