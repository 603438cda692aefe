"""A seeded fuzzer: commands with wrong options, on wrong files, answer in one line and touch nothing else.

`python -m faults.fuzz --seconds 600` from `tests/`; `--seed S --case N --keep FOLDER` runs one case again and keeps it.
"""

import argparse
import shutil
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from faults.mutations import BESIDE, mutate_file, mutated_options
from faults.workshop import (
    BETWEEN,
    CORPUS,
    FEW,
    MIXED,
    RUN,
    STUDY,
    TRAIN,
    Ended,
    copy_of,
    leftovers,
    load_libraries,
    make_template,
    outside,
    run_command,
)

MOST_SECONDS = 120.0
ALLOCATE = [
    "allocate",
    "--corpus",
    f"jsonl:{CORPUS}",
    "--output",
    "b.parquet",
    "--entries",
    "64",
    "--entries-per-doc",
    "8",
]
EVAL = ["eval", RUN, "--task", "docmem", "--limit", "2", "--recall", "free", "--device", "cpu"]
# Commands whose options are exchanged.
COMMANDS = [
    [*TRAIN, "--layer", "2", "--allocation", "random", "--save-dir", "out", "--seed", "0", "--lr", "0.01"],
    [*TRAIN, "--alpha", "1", "--group-by", "article", "--max-tokens", "32", "--mem-seed", "0", "--save-dir", "out"],
    ["train", "--config", "run.yaml", *FEW, "--partition-by", "size", "--location", "soft"],
    EVAL,
    ["eval", "--baseline", "--model", "model", "--corpus", f"jsonl:{CORPUS}", "--num-docs", "2", "--task", "docmem"],
    ["eval", "outputs", "--all", "--task", "location", "--limit", "2"],
    ["sweep", "grid.yaml", "--save-dir", "swept", "--dry-run", "--fleet-size", "2"],
    [*ALLOCATE, "--allocation", "simset2", "--mem-seed", "1", "--num-docs", "6", "--num-clusters", "4"],
    ["allocate", "--output", "a.parquet", "--query", "a keeper of bees"],
    ["allocate", "--append", "--output", "a.parquet", "--corpus", "squad:squad.json", "--max-bad", "0"],
    ["analyze", "a.parquet"],
    ["corpora", "people:count=5,seed=1", "--write", "people", "--num-docs", "3"],
    ["leaderboard", "outputs", "--html", "page.html"],
    ["leaderboard", "leaderboards", "--sort", "docmem/nll", "--format", "csv"],
    ["show", RUN],
    ["show", f"{STUDY}/{{name}}"],
    ["pack", MIXED, "--add", STUDY],
    ["verify", STUDY],
    ["contrast", STUDY, *BETWEEN, "--sort", "docmem/nll", "--where", "alpha==1", "--margin", "0.1"],
    ["contrast", STUDY, *BETWEEN, "--plot", "plot.svg", "--format", "markdown"],
    ["study", "grid.yaml", "--save-dir", "swept", "--to", "board", "--dry-run"],
    ["compare", RUN, RUN],
    ["submit", RUN, "--to", "leaderboards"],
    ["export", RUN, "--to", "exported", "--organization", "lab", "--format", "every-eval-ever"],
    ["watch", "watched", "--once"],
    ["corpora", "fictionalqa:fiction.json,style=news", "--num-docs", "1"],
    ["models"],
]
# Commands that read the files of which one is damaged, by a part of the file's path.
READERS: list[tuple[str, list[list[str]]]] = [
    (
        "leaderboards/",
        [["verify", "{entry}"], ["leaderboard", "leaderboards"], ["leaderboard", "leaderboards", "--html", "p.html"]],
    ),
    (
        f"{STUDY}/packed/",
        [
            ["verify", STUDY],
            ["leaderboard", STUDY],
            ["contrast", STUDY, *BETWEEN, "--plot", "plot.svg"],
            ["show", f"{STUDY}/{{name}}"],
            ["pack", STUDY, "--add", "leaderboards"],
            ["pack", "leaderboards", "--add", STUDY],
        ],
    ),
    (f"{MIXED}/again/", [["pack", MIXED], ["contrast", MIXED, *BETWEEN]]),
    ("unfinished/", [[*TRAIN, "--save-dir", "unfinished", "--resume"], ["leaderboard", "unfinished"]]),
    (
        "/eval/",
        [["show", RUN], ["leaderboard", "outputs"], ["submit", RUN], ["compare", RUN, RUN], ["export", RUN], EVAL],
    ),
    (
        RUN,
        [
            TRAIN,
            EVAL,
            ["show", RUN],
            ["leaderboard", "outputs"],
            ["submit", RUN],
            ["export", RUN],
            ["sweep", "grid.yaml"],
        ],
    ),
    (
        "watched/sweeps/",
        [
            ["watch", "watched", "--once"],
            ["watch", "watched", "--json"],
            ["sweep", "grid.yaml", "--save-dir", "watched"],
        ],
    ),
    *(
        (f"{kind}.json", [["corpora", f"{name}:{kind}.json"]])
        for kind, name in (("akew", "akew"), ("unke", "unke"), ("fiction", "fictionalqa"))
    ),
    (
        "a.parquet",
        [
            ["analyze", "a.parquet"],
            ["allocate", "--output", "a.parquet", "--query", "bees"],
            ["train", "--model", "model", "--allocation", "a.parquet", "--epochs", "1", "--device", "cpu"],
            ["allocate", "--append", "--output", "a.parquet", "--corpus", "squad:squad.json"],
        ],
    ),
    ("model/", [[*TRAIN, "--save-dir", "out"], EVAL]),
    (CORPUS, [["corpora", f"jsonl:{CORPUS}"], [*TRAIN, "--save-dir", "out"], ALLOCATE, [*ALLOCATE, "--max-bad", "9"]]),
    (
        "squad.json",
        [
            ["corpora", "squad:squad.json"],
            [
                "train",
                "--model",
                "model",
                "--corpus",
                "squad:squad.json",
                "--num-docs",
                "3",
                "--entries",
                "64",
                "--entries-per-doc",
                "8",
                "--epochs",
                "1",
                "--device",
                "cpu",
            ],
        ],
    ),
    (
        "facts.json",
        [
            ["eval", RUN, "--task", "counterfact", "--data", "facts.json", "--limit", "2"],
            ["corpora", "squad:squad.json", "--match-subjects", "facts.json"],
        ],
    ),
    ("grid.yaml", [["sweep", "grid.yaml", "--dry-run"], ["sweep", "grid.yaml", "--save-dir", "swept"]]),
    (
        "run.yaml",
        [
            [
                "train",
                "--config",
                "run.yaml",
                "--model",
                "model",
                "--corpus",
                f"jsonl:{CORPUS}",
                "--entries",
                "64",
                "--entries-per-doc",
                "8",
                "--device",
                "cpu",
                "--save-dir",
                "out",
            ]
        ],
    ),
]


@dataclass
class Counts:
    """What was tried: cases by kind and exit code, faults, and failures that were said without a cause."""

    cases: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)


def run_case(seed: int, number: int, template: Path, root: Path, counts: Counts) -> None:
    """One case: a room of its own, one thing wrong in it, one command."""
    chance = Random(f"{seed}-{number}")
    work = copy_of(template, root)
    entry = next((work / "leaderboards").iterdir()).name
    if chance.random() < 0.4:
        kind, done = "options", "options"
        command = mutated_options(chance, chance.choice(COMMANDS))
    else:
        kind = "files"
        place, readers = chance.choice(READERS)
        files = [
            each for each in sorted(work.rglob("*")) if each.is_file() and place in each.relative_to(work).as_posix()
        ]
        done = mutate_file(chance, chance.choice(files))
        command = chance.choice(readers)
    command = [_with_entry(word, entry) for word in command]
    named = Path(BESIDE).name if BESIDE in command else ""
    before = outside(work, named)
    ended = run_command(command, work, most_seconds=MOST_SECONDS)
    counts.cases[f"{kind}, exit {ended.code}"] += 1
    said = f"seed {seed} case {number}: {' '.join(command)!r} ({done}): "
    counts.faults += [said + fault for fault in faults_of(ended, work, before, named)]
    if "(--debug shows the traceback)" in ended.err:
        counts.unexplained.append(said + ended.err.strip().splitlines()[-1])


def _with_entry(word: str, entry: str) -> str:
    return word.replace("{entry}", f"leaderboards/{entry}").replace("{name}", entry)


def faults_of(ended: Ended, work: Path, before: str, named: str) -> list[str]:
    """What a command did that none may do; `before` is `outside(work, named)` as it was."""
    faults = []
    lines = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    if ended.code not in (0, 1, 2):
        faults.append(f"exit code {ended.code} after {ended.seconds:.0f} s: {ended.err[-300:]}")
    if "Traceback (most recent call last)" in ended.out + ended.err:
        faults.append(f"a traceback: {ended.err[-600:]}")
    if ended.code == 2 and (len(lines) != 1 or ended.err.rstrip().splitlines()[-1] != lines[0]):
        faults.append(f"not one line of error: {ended.err[-300:]!r}")
    if outside(work, named) != before:
        faults.append("a file outside the working folder was changed")
    if temporary := leftovers(work):
        faults.append(f"temporary files were left: {temporary[:3]}")
    return faults


def fuzz(seed: int, seconds: float, template: Path, rooms: Path) -> Counts:
    """Run cases until the seconds are over; rooms of cases with a fault are kept."""
    counts, began, number = Counts(), time.monotonic(), 0
    while time.monotonic() - began < seconds:
        room, known = rooms / f"case-{number}", len(counts.faults)
        run_case(seed, number, template, room, counts)
        if len(counts.faults) == known:
            shutil.rmtree(room)
        number += 1
    return counts


def report(counts: Counts) -> str:
    """The counts in lines."""
    cases = ", ".join(f"{name}: {count}" for name, count in sorted(counts.cases.items()))
    lines = [f"fuzzer: {sum(counts.cases.values())} cases ({cases}), {len(counts.faults)} faults"]
    lines += [f"  fault: {fault}" for fault in counts.faults]
    lines += [f"  failed without a cause that was foreseen: {each}" for each in counts.unexplained]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--case", type=int)
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    load_libraries()
    root = given.keep or Path(tempfile.mkdtemp(prefix="simset-bench-faults-"))
    template = make_template(root / "template")
    if given.case is None:
        counts = fuzz(given.seed, given.seconds, template, root)
    else:
        counts = Counts()
        run_case(given.seed, given.case, template, root / f"case-{given.case}", counts)
    print(report(counts), flush=True)
    if not counts.faults and given.keep is None:
        shutil.rmtree(root)
    raise SystemExit(bool(counts.faults))


if __name__ == "__main__":
    main()
