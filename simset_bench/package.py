"""The version of the installed package, the folder that it lies in, and the grids that come with it."""

from pathlib import Path

VERSION = "0.1.0"
FOLDER = Path(__file__).parent


def shipped_grids() -> dict[str, Path]:
    """The grids that come with simset-bench, by name."""
    folders = (FOLDER / "sweeps", FOLDER.parent / "sweeps")
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.yaml"))}
