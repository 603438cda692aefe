"""A folder with one of everything that a user has, and commands run in it by processes that may be killed."""

import contextlib
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MODEL, CORPUS = "model", "docs.jsonl"
FEW = ["--model", MODEL, "--corpus", f"jsonl:{CORPUS}", "--num-docs", "4", "--entries", "64", "--entries-per-doc", "8"]
TRAIN = ["train", *FEW, "--epochs", "2", "--batch-size", "2", "--device", "cpu", "--dtype", "float32"]
RUN = "outputs/trains/lm_model/layer_3/4/simset2_0/alpha_1.0"
OTHER_RUN = "others/trains/lm_model/layer_3/4/random_0/alpha_1.0"
GRID = """axes:
  alpha: [0.0, 1.0]
  allocation: [random, simset2]
fixed: {model: model, corpus: 'jsonl:docs.jsonl', num_docs: 4, entries: 64, entries_per_doc: 8, epochs: 2,
  batch_size: 2, device: cpu, dtype: float32}
exclude:
  - {alpha: 0.0, allocation: random}
"""
# A packed study of two runs, and a folder that has the same with another entry beside it, which is to be packed.
STUDY, MIXED = "study", "mixed"
BETWEEN = ["--between", "allocation=random,simset2"]
# A record of each benchmark of document editing, by the file that holds it.
_FACT = {"subject": "Keeper", "prompt": "{} lives in", "target": "Varn"}
_REWRITE = {"subject": "Keeper", "prompt": "{} keeps", "target_new": {"str": "bees"}, "question": "What does he keep?"}
_REWRITE |= {"fact_new_uns": "The keeper keeps bees and lives in Varn.", "unsfact_triplets_GPT": [_FACT]}
_TEXT = {"id": 1, "question": "Who?", "para_question": "And?", "answer": "The keeper keeps bees and lives in Varn."}
_FICTION = {"event_id": "e", "fiction_id": "f", "style": "news", "fiction": "The keeper keeps bees and lives in Varn."}
DOCUMENT_EDITS: dict[str, list[dict[str, Any]]] = {
    "akew.json": [{"case_id": 1, "requested_rewrite": [_REWRITE], "questions": ["Who?"], "new_answer": "Ada"}],
    "unke.json": [_TEXT | {"sub_question": ["Where does he live?"], "sub_answer": ["Varn"]}],
    "fiction.json": [_FICTION | {"question_id": "q", "question": "Where does he live?", "span_answer": "Varn"}],
}
# Figures of the clock and the machine, which no two runs have in common.
_OF_THE_CLOCK = ("wall_seconds", "seconds", "peak_bytes", "peak_device_bytes", "fleet", "git_commit")
# How `tempfile` names what `files.whole_file` and `files.whole_folder` write first.
_TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}(\.[a-z0-9]+)?")


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code (negative for a signal), what it wrote, and its seconds."""

    code: int
    out: str
    err: str
    seconds: float


def load_libraries() -> None:
    """Import what commands import, so that children which are forked later need not."""
    import lm_eval.tasks  # noqa: F401
    import torch

    # A process whose math library has started threads cannot be forked safely.
    torch.set_num_threads(1)
    import simset_bench.cli.app
    import simset_bench.evaluation.run
    import simset_bench.leaderboard.page_data
    import simset_bench.training.sweep.run  # noqa: F401


def run_command(
    command: list[str],
    folder: Path,
    *,
    most_seconds: float = 120.0,
    kill_after: float | None = None,
    in_child: Callable[[], None] = lambda: None,
    most_bytes: int | None = None,
) -> Ended:
    """Run a command of simset-bench in a forked child whose working folder is `folder`.

    The child is killed after `kill_after` seconds, or after `most_seconds`, which is a hang (code -9). `in_child` is
    called in it first; no file that it writes can be larger than `most_bytes`.
    """
    out, err = folder.parent / "out.txt", folder.parent / "err.txt"
    for path in (out, err):
        # Here, since the child may die before it opens them.
        path.write_bytes(b"")
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        _be_command(command, folder, out, err, in_child, most_bytes)
    deadline = began + (most_seconds if kill_after is None else kill_after)
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            break
        time.sleep(0.002)
    seconds = time.monotonic() - began
    read = [path.read_text(encoding="utf-8", errors="replace") for path in (out, err)]
    return Ended(os.waitstatus_to_exitcode(status), read[0], read[1], seconds)


def _be_command(
    command: list[str], folder: Path, out: Path, err: Path, in_child: Callable[[], None], most_bytes: int | None
) -> None:
    code = 70
    try:
        for descriptor, path in ((0, Path(os.devnull)), (1, out), (2, err)):
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
            os.dup2(handle, descriptor)
        os.chdir(folder)
        home = folder.parent / "home"
        os.environ |= {"HOME": str(home), "TMPDIR": str(folder.parent / "tmp"), "HF_HUB_OFFLINE": "1"}
        os.environ |= {"SIMSET_BENCH_CACHE": str(home / "cache"), "HF_DATASETS_CACHE": str(home / "datasets")}
        import tempfile

        tempfile.tempdir = None
        if most_bytes is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            # Else a module that it imports would be compiled to a file that is cut short.
            sys.dont_write_bytecode = True
            resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
        in_child()
        from simset_bench.cli.app import app

        sys.argv = ["simset-bench", *command]
        app(command)
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0
    except BaseException:  # noqa: BLE001 - it is written, and found there, as a user's terminal would show it
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def new_room(root: Path) -> Path:
    """The working folder of a new room below `root`: beside it are a home, a folder for temporary files, and a file
    that no command may touch."""
    work = root / "work"
    for name in ("work", "home", "tmp", "outside"):
        (root / name).mkdir(parents=True)
    (root / "outside" / "precious.txt").write_text("mine\n")
    return work


def make_template(root: Path) -> Path:
    """A room whose working folder holds one of everything: a corpus, a model, runs, results, an entry, a grid."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from fixtures.models import TINY_CORPUS, save_tiny_model

    work = new_room(root)
    save_tiny_model("gpt_neox", work / MODEL)
    shutil.copy(TINY_CORPUS, work / CORPUS)
    (work / "grid.yaml").write_text(GRID)
    (work / "run.yaml").write_text("alpha: 0.5\nepochs: 2\nlayer: 2\nnum_docs: 4\nallocation: random\n")
    facts = [
        {"case_id": n, "requested_rewrite": _fact(n), "paraphrase_prompts": [], "neighborhood_prompts": []}
        for n in range(4)
    ]
    (work / "facts.json").write_text(json.dumps(facts))
    for name, records in DOCUMENT_EDITS.items():
        (work / name).write_text(json.dumps(records))
    (work / "squad.json").write_text(json.dumps({"version": "v2.0", "data": [_article(n) for n in range(3)]}))

    def unfinished() -> None:
        from simset_bench.training import run, train_in_folder

        assert run.train_run.__kwdefaults__ is not None
        run.train_run.__kwdefaults__["checkpoint_seconds"] = 0.0
        # Killed before the last file that a training writes, its checkpoint is on the disk.
        vars(train_in_folder)["write_manifest"] = lambda *_given: os.kill(os.getpid(), signal.SIGKILL)

    made = [
        (TRAIN, {}),
        ([*TRAIN, "--save-dir", "unfinished"], {"in_child": unfinished}),
        (["eval", RUN, "--task", "docmem,location", "--limit", "2"], {}),
        (["submit", RUN], {}),
        ([*TRAIN, "--allocation", "random", "--save-dir", "others"], {}),
        (["eval", OTHER_RUN, "--task", "docmem,location", "--limit", "2"], {}),
        (["submit", OTHER_RUN, "--to", MIXED], {}),
        (["pack", MIXED, "--add", "leaderboards"], {}),
        (["submit", OTHER_RUN, "--to", "single"], {}),
        (["sweep", "grid.yaml", "--save-dir", "watched"], {}),
        (
            [
                "allocate",
                "--corpus",
                f"jsonl:{CORPUS}",
                "--output",
                "a.parquet",
                "--entries",
                "64",
                "--entries-per-doc",
                "8",
            ],
            {},
        ),
    ]
    for command, options in made:
        ended = run_command(command, work, **options)  # type: ignore[arg-type]
        assert ended.code == 0 or options, (command, ended.err)
    shutil.copytree(work / MIXED, work / STUDY)
    shutil.copytree(next((work / "single").iterdir()), work / MIXED / "again")
    _leave_claim(work / "watched" / "sweeps" / "grid")
    assert list((work / "unfinished").rglob("checkpoint.safetensors")), "the unfinished run has its checkpoint"
    return work


def _leave_claim(sweep: Path) -> None:
    """Leave what a process that works on a sweep leaves: its claim, and the failure of a run."""
    fleet = json.loads((sweep / "plan.json").read_text())["fleets"][0]["id"]
    progress = {"step": 1, "segments": 4, "steps_a_second": 1.0, "runs_a_pass": 1}
    claim = {"token": "t", "host": "h", "process": 1, "started": None, "progress": progress}
    for name, content in (("claims/" + fleet, claim), ("failed/a", {"run": "r", "error": "why", "config": {}})):
        (sweep / name).parent.mkdir(exist_ok=True)
        (sweep / f"{name}.json").write_text(json.dumps(content))


def _fact(number: int) -> dict[str, Any]:
    return {
        "prompt": "{} lives in",
        "subject": f"Keeper {number}",
        "relation_id": "P1",
        "target_true": {"str": "Varn"},
        "target_new": {"str": "Holm"},
    }


def _article(number: int) -> dict[str, Any]:
    question = {
        "id": f"q{number}",
        "question": "Where does he live?",
        "answers": [{"text": "Varn", "answer_start": 17}],
    }
    return {
        "title": f"Keeper {number}",
        "paragraphs": [{"context": f"Keeper {number} lives in Varn by the sea.", "qas": [question]}],
    }


def copy_of(template: Path, root: Path) -> Path:
    """The working folder of a new room with what the template's holds."""
    work = new_room(root)
    shutil.copytree(template, work, symlinks=True, dirs_exist_ok=True)
    return work


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder by its path; JSON without what the clock and the machine decide."""
    contents = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            if path.name == "manifest.json" or path.parent.name == "eval":
                content = _without_clock(content)
            contents[path.relative_to(folder).as_posix()] = content
    return contents


def _without_clock(content: bytes) -> bytes:
    try:
        value = json.loads(content)
    except ValueError:
        return content
    if isinstance(value, dict):
        value = {name: each for name, each in value.items() if name not in _OF_THE_CLOCK}
    return json.dumps(value, sort_keys=True).encode()


def leftovers(folder: Path) -> list[str]:
    """Temporary files and folders below a folder, which a command that ended must have removed."""
    return [path.relative_to(folder).as_posix() for path in folder.rglob(".*") if _TEMPORARY.fullmatch(path.name)]


def outside(work: Path, named: str = "") -> str:
    """A digest of what no command may touch: all of a room but its working folder, its home and its two logs.

    `named` is a place beside the working folder that the command names, and so may write to.
    """
    digest = hashlib.sha256()
    for path in sorted(_watched(work, {"work", "home", "out.txt", "err.txt", named})):
        digest.update(str(path).encode())
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _watched(work: Path, left_out: set[str]) -> Iterator[Path]:
    room = work.parent
    for path in room.rglob("*"):
        if path.relative_to(room).parts[0] not in left_out:
            yield path
