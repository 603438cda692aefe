"""All that there is to show of one run: its options, curves, scores with intervals, and samples."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simset_bench.console import note
from simset_bench.leaderboard.entry_folder import entry_folder
from simset_bench.leaderboard.table import Leaderboard, Row, make_leaderboard
from simset_bench.results.compare_runs import one_run
from simset_bench.results.curves import Epoch, read_epochs
from simset_bench.results.forms import checked_manifest
from simset_bench.results.retention import FirstStage, retention
from simset_bench.results.samples import read_samples
from simset_bench.results.search import SEARCH
from simset_bench.strict_json import read_object
from simset_bench.training.config import read_config
from simset_bench.training.run_folder import CONFIG, MANIFEST, METRICS


@dataclass(frozen=True)
class ShownRun:
    """One run, baseline or entry: `config` are its options, `search` how a study chose some of them (None for no
    search), `epochs` its curves, `board` a leaderboard of it alone, whose one row `row` is, `first_stage` what is left
    of the documents of the first run of its chain, and `samples` its records by task.
    """

    config: dict[str, Any]
    search: dict[str, Any] | None
    epochs: list[Epoch]
    board: Leaderboard
    first_stage: list[FirstStage]
    samples: dict[str, list[dict[str, Any]]]

    @property
    def row(self) -> Row:
        """The run as a row of a board."""
        return self.board.rows[0]


def read_shown(run: Path) -> ShownRun:
    """What a run's folder, a baseline's or an entry holds; a note names each damaged file, which is left out.

    Raises RequestError where there is none of these.
    """
    with entry_folder(run) as folder:
        table = one_run(folder)
        files = dict.fromkeys(zip(table.values["task"], table.values["samples"], strict=True))
        return ShownRun(
            read_config(folder / CONFIG),
            checked_manifest(read_object(folder / MANIFEST)).get(SEARCH),
            _read_or_note(folder / METRICS, read_epochs),
            make_leaderboard(table),
            retention(folder),
            {task: _read_or_note(Path(file), read_samples) for task, file in files if Path(file).is_file()},
        )


def _read_or_note(path: Path, read: Callable[[Path], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """What a file holds; nothing, and a note, where it is damaged."""
    try:
        return read(path)
    except (OSError, ValueError) as error:
        note(f"{path}: left out, damaged ({error})")
        return []
