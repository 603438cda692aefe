"""What is printed: nothing controls the terminal, any encoding will do, and a closed pipe ends quietly."""

import json
import os
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simset_bench.cli.options import one_line_errors
from simset_bench.console import in_notebook, note, printable

COMMAND = [sys.executable, "-m", "simset_bench"]
HOSTILE = "\x1b]0;title\x07\x1b[31mred\x9b2J\u202eturned\u2066 [red]mark[/red] :skull: a\rb\nc"
READABLE = [
    "Zoë",
    "漢字かな",
    "العربية",
    "עברית",
    "हिन्दी",
    "می\u200cخواهم",
    "👩\u200d👩\u200d👧",
    "a\u00a0b",
    "\u200fא",
]


@given(st.text())
def test_one_line_without_control_characters(text: str) -> None:
    shown = printable(text)
    assert len(shown) == len(text)
    assert not any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in shown)
    assert not set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069") & set(shown)
    kept = [character for character in text if printable(character) == character]
    assert kept == [character for character in shown if character != "\N{REPLACEMENT CHARACTER}"] or "\ufffd" in text


@pytest.mark.parametrize("text", READABLE)
def test_ordinary_texts_of_any_script_stay_as_they_are(text: str) -> None:
    assert printable(text) == text


@pytest.fixture
def hostile(write_run: Callable[..., Path]) -> Path:
    """A folder with a run whose names and texts would control a terminal, and one that is damaged."""
    run = write_run({"docmem": {"nll": [0.5, 0.6, 0.7, 0.9]}, "x": {HOSTILE: [0.1, 0.2, 0.3, 0.4]}})
    for name in ("config.yaml", "manifest.json"):
        text = (run / name).read_text()
        key = "corpus: vital" if name == "config.yaml" else '"model": "m"'
        value = f"corpus: {json.dumps(HOSTILE)}" if name == "config.yaml" else f'"model": {json.dumps(HOSTILE)}'
        assert key in text
        (run / name).write_text(text.replace(key, value))
    for path in (run / "eval").glob("*.samples.jsonl"):
        records = [json.loads(line) for line in path.read_text().splitlines()]
        changed = [record | {"sample": HOSTILE, "arguments": [[HOSTILE, HOSTILE]]} for record in records]
        path.write_text("".join(json.dumps(record) + "\n" for record in changed))
    (write_run() / "config.yaml").write_text(f"{json.dumps(HOSTILE)}: [1]\nmodel: m\n")
    return run


@pytest.mark.parametrize("command", ["leaderboard", "markdown", "csv", "show", "compare", "none", "verify"])
def test_names_and_texts_of_a_run_control_no_terminal(hostile: Path, command: str) -> None:
    arguments = {
        "leaderboard": ["leaderboard", hostile.parent],
        "markdown": ["leaderboard", hostile.parent, "--format", "markdown"],
        "csv": ["leaderboard", hostile.parent, "--format", "csv"],
        "compare": ["compare", hostile, hostile],
        "none": ["show", str(hostile.parent / HOSTILE)],
    }.get(command, [command, hostile])
    done = subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == (2 if command in ("none", "verify") else 0), done.stderr
    for text in (done.stdout, done.stderr):
        assert not any(character in text for character in "\x1b\x07\x9b\r\u202e\u2066")
    assert "Traceback" not in done.stderr
    if command != "verify":
        assert "red" in done.stdout + done.stderr and "skull" in done.stdout + done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp437"])
def test_what_an_encoding_lacks_is_replaced(write_run: Callable[..., Path], encoding: str) -> None:
    run = write_run({"docmem": {"nll": [0.5, 0.6, 0.7, 0.9]}}, corpus="漢字 ↓")
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    for arguments in (["leaderboard", run.parent], ["show", run], ["show", run, "--json"]):
        done = subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, env=environment)
        assert (done.returncode, done.stderr) == (0, b"")
        text = done.stdout.decode(encoding)
        assert json.loads(text)["config"]["corpus"] == "漢字 ↓" if "--json" in arguments else "?" in text


def test_a_quiet_command_silences_nothing_after_it(capsys: pytest.CaptureFixture[str]) -> None:
    def command(quiet: bool) -> None:
        note("within")

    one_line_errors(command)(quiet=True)
    note("after")
    assert capsys.readouterr().err == "after\n"


@pytest.mark.parametrize("arguments", [["models"], ["corpora", "--json"], ["--help"]])
def test_a_closed_pipe_ends_quietly(arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*COMMAND, *arguments], stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_pipe_that_is_not_the_output_is_no_quiet_end(write_run: Callable[..., Path], tmp_path: Path) -> None:
    """A page that a reader of a pipe stops reading was not written."""
    run = write_run({"docmem": {"nll": [0.5, 0.6, 0.7, 0.9]}})
    os.mkfifo(tmp_path / "pipe")
    reader = subprocess.Popen(["head", "-c", "1", str(tmp_path / "pipe")], stdout=subprocess.DEVNULL)
    done = subprocess.run(
        [*COMMAND, "leaderboard", str(run.parent), "--html", str(tmp_path / "pipe")], capture_output=True, text=True
    )
    reader.wait()
    assert done.returncode == 1 and "BrokenPipeError" in done.stderr and done.stderr.count("\n") == 1


def test_a_kernel_is_a_notebook_and_a_terminal_of_ipython_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not in_notebook()
    for shell, answer in ((SimpleNamespace(kernel=object()), True), (SimpleNamespace(), False), (None, False)):
        monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda shell=shell: shell))
        assert in_notebook() is answer
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace())
    assert not in_notebook()
