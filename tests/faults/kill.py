"""A seeded killer: commands killed at any moment, before a chosen file operation, or without room to write.

`python -m faults.kill --seconds 600` from `tests/`. Each trial kills a command up to three times, gives it again, and
compares every file with those of a command that nobody killed: they must be the same to the byte.
"""

import argparse
import shutil
import signal
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from faults.workshop import (
    BETWEEN,
    CORPUS,
    MIXED,
    RUN,
    STUDY,
    TRAIN,
    copy_of,
    files_of,
    leftovers,
    load_libraries,
    make_template,
    outside,
    run_command,
)
from fixtures.kills import die_before_call

# Several commands may write one page at once, so that none can know whose temporary file it sees.
_SHARED = ("leaderboard", "contrast")
ALLOCATE = [
    "allocate",
    "--corpus",
    f"jsonl:{CORPUS}",
    "--entries",
    "64",
    "--entries-per-doc",
    "8",
    "--output",
    "b.parquet",
]


@dataclass(frozen=True)
class Subject:
    """A command that is killed, and the folders or files that it makes. What `done` says means that it had ended."""

    name: str
    command: list[str]
    makes: tuple[str, ...]
    done: str = ""


SUBJECTS = [
    Subject("train", [*TRAIN, "--save-dir", "trained", "--resume", "--epochs", "3"], ("trained",)),
    Subject("sweep", ["sweep", "grid.yaml", "--save-dir", "swept"], ("swept/trains",)),
    Subject("eval", ["eval", RUN, "--task", "doccloze,location", "--limit", "2", "--device", "cpu"], (RUN,)),
    Subject("eval --all", ["eval", "outputs", "--all", "--task", "capacity", "--device", "cpu"], ("outputs",)),
    Subject("allocate", [*ALLOCATE, "--engine", "datasketch"], ("b.parquet",), "is already there"),
    Subject("allocate, Daft", [*ALLOCATE, "--engine", "daft"], ("b.parquet",), "is already there"),
    Subject(
        "allocate --append",
        ["allocate", "--append", "--output", "a.parquet", "--corpus", "squad:squad.json"],
        ("a.parquet",),
        "duplicate document id",
    ),
    Subject("submit", ["submit", RUN, "--to", "entries"], ("entries",)),
    Subject("submit again", ["submit", RUN, "--to", "leaderboards"], ("leaderboards",)),
    Subject("pack", ["pack", MIXED], (MIXED,)),
    Subject("contrast", ["contrast", STUDY, *BETWEEN, "--plot", "plot.svg"], ("plot.svg",)),
    Subject("corpora --write", ["corpora", "people:count=6", "--write", "people"], ("people",)),
    Subject("leaderboard", ["leaderboard", "outputs", "--html", "page.html"], ("page.html",)),
]


@dataclass
class Counts:
    """Trials, kills and disks without room by subject, and what went wrong."""

    trials: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    full: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def die_in_training(number: int) -> None:
    """`die_before_call` in a process that writes a checkpoint after each step."""
    die_before_call(number)
    checkpoint_at_every_step()


def checkpoint_at_every_step() -> None:
    """Make this process write a checkpoint after each step, so that trainings of seconds have some."""
    from simset_bench.training import run
    from simset_bench.training.sweep import run as sweep

    assert run.train_run.__kwdefaults__ is not None
    run.train_run.__kwdefaults__["checkpoint_seconds"] = 0.0
    assert sweep.SweepOptions.__init__.__defaults__ is not None
    defaults = [
        0.0 if each == run.SECONDS_BETWEEN_CHECKPOINTS else each for each in sweep.SweepOptions.__init__.__defaults__
    ]
    sweep.SweepOptions.__init__.__defaults__ = tuple(defaults)


def made_by(subject: Subject, work: Path) -> dict[str, bytes]:
    """The files that a subject makes."""
    files = files_of(work)
    return {
        name: content
        for name, content in files.items()
        if name in subject.makes or name.startswith(tuple(f"{each}/" for each in subject.makes))
    }


def run_trial(seed: int, number: int, template: Path, root: Path, straight: dict[str, Any], counts: Counts) -> None:
    """Kill one command up to three times, give it again, and compare what it made."""
    chance = Random(f"{seed}-{number}")
    subject = SUBJECTS[number % len(SUBJECTS)]
    if subject.name not in straight:
        work = copy_of(template, root / f"straight-{number}")
        ended = run_command(subject.command, work)
        assert ended.code == 0, (subject.name, ended.err)
        straight[subject.name] = made_by(subject, work), ended.seconds
    expected, seconds = straight[subject.name]
    room = root / f"trial-{number}"
    work = copy_of(template, room)
    before = outside(work)
    said = f"seed {seed} trial {number}: {subject.name}"
    counts.trials[subject.name] += 1
    for _ in range(chance.choice([1, 1, 2, 3])):
        if chance.random() < 0.25:
            room_left = 1 << chance.randrange(8, 18)
            said += f", files of at most {room_left} bytes"
            ended = run_command(subject.command, work, in_child=checkpoint_at_every_step, most_bytes=room_left)
            counts.full[subject.name] += ended.code == 1
            if ended.code == 1 and not ended.err.strip().splitlines()[-1].startswith("error: no room left to write ("):
                counts.faults.append(f"{said}: {ended.err[-400:]}")
        elif chance.random() < 0.7:
            # The first calls are made before anything is written.
            call = chance.choice([chance.randrange(40), chance.randrange(400)])
            said += f", killed before call {call}"
            ended = run_command(subject.command, work, in_child=partial(die_in_training, call))
        else:
            moment = chance.uniform(0.0, 1.1 * seconds)
            said += f", killed after {moment:.3f} s"
            ended = run_command(subject.command, work, kill_after=moment, in_child=checkpoint_at_every_step)
        counts.kills[subject.name] += ended.code == -signal.SIGKILL
    ended = run_command(subject.command, work)
    is_done = bool(subject.done) and ended.code == 2 and subject.done in ended.err
    if ended.code != 0 and not is_done:
        counts.faults.append(f"{said}: exit code {ended.code}: {ended.err[-400:]}")
    made = made_by(subject, work)
    if made != expected:
        names = sorted({*made, *expected}, key=str)
        differing = [name for name in names if made.get(name) != expected.get(name)]
        counts.faults.append(f"{said}: other bytes in {differing[:4]} ({ended.err[-200:]})")
    # Where the command had ended before, it does not come to clear up what a later kill left.
    left = leftovers(work)
    if left and subject.name not in _SHARED:
        counts.faults.append(f"{said}: temporary files are left: {left[:4]}")
    _clear_temporary(work)
    if outside(work) != before:
        counts.faults.append(f"{said}: a file outside the working folder was changed")


def _clear_temporary(work: Path) -> None:
    """A killed process leaves its folder of temporary files to the system."""
    for path in (work.parent / "tmp").iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def kill(seed: int, seconds: float, template: Path, rooms: Path) -> Counts:
    """Run trials until the seconds are over; rooms of trials with a fault are kept."""
    counts, began, number = Counts(), time.monotonic(), 0
    straight: dict[str, Any] = {}
    while time.monotonic() - began < seconds:
        known = len(counts.faults)
        run_trial(seed, number, template, rooms, straight, counts)
        if len(counts.faults) == known:
            shutil.rmtree(rooms / f"trial-{number}")
        number += 1
    return counts


def report(counts: Counts) -> str:
    """The counts in lines."""
    parts = [
        f"{name} {count} ({counts.kills[name]} kills, {counts.full[name]} times no room)"
        for name, count in sorted(counts.trials.items())
    ]
    head = f"killer: {sum(counts.trials.values())} trials, {sum(counts.kills.values())} kills, "
    head += f"{sum(counts.full.values())} times no room ({', '.join(parts)})"
    return "\n".join([f"{head}, {len(counts.faults)} faults", *(f"  fault: {fault}" for fault in counts.faults)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    load_libraries()
    root = given.keep or Path(tempfile.mkdtemp(prefix="simset-bench-faults-"))
    counts = kill(given.seed, given.seconds, make_template(root / "template"), root)
    print(report(counts), flush=True)
    if not counts.faults and given.keep is None:
        shutil.rmtree(root)
    raise SystemExit(bool(counts.faults))


if __name__ == "__main__":
    main()
