"""Wrong requests are refused within two seconds of processor time: before any library of models is imported."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from simset_bench.cli.app import app
from simset_bench.cli.options import print_json

COMMAND = """
import sys
from simset_bench.__main__ import main
try:
    main()
finally:
    print(*sorted({"torch", "transformers", "lm_eval", "datasets"} & set(sys.modules)))
"""


def refused(tmp_path: Path, command: list[str]) -> str:
    """The one line that a refused command writes; it loaded no large library before it."""
    ran = subprocess.run([sys.executable, "-c", COMMAND, *command], capture_output=True, text=True, cwd=tmp_path)
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (2, "\n", 1), ran.stderr
    return ran.stderr.removeprefix("error: ")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--task docmen", "unknown task 'docmen' (did you mean 'docmem'?)"),
        ("--task locatoin", "unknown task 'locatoin' (did you mean 'location'?)"),
        ("--task arc_easyy", "unknown task 'arc_easyy' (did you mean 'arc_easy'?)"),
        ("--task docmem --recall orakle", "unknown --recall 'orakle' (did you mean 'oracle'?)"),
        ("--task docmem --limit 0", "--limit 0: must be at least 1"),
        ("--task zsre", "task zsre reads data of its own"),
        ("--task zsre --data nowhere.json", "--data nowhere.json: there is no such file"),
        ("--task damage --data damage=jsonl:nowhere", "nowhere: cannot be read"),
        ("--task damage --data damage=jsonl", "corpus 'jsonl': write it as jsonl:FILE"),
        ("--task docmem --dtype float63", "unknown dtype 'float63'"),
        ("--task docmem --device gpu", "--device 'gpu' is no device"),
        ("--task hellaswag --recall oracle", "--recall oracle: samples of lm-eval's hellaswag"),
    ],
)
def test_a_wrong_option_of_eval(write_run: Callable[..., Path], tmp_path: Path, options: str, said: str) -> None:
    run = write_run()
    for name in ("allocation.parquet", "memory.safetensors", "metrics.jsonl"):
        (run / name).touch()
    assert refused(tmp_path, ["eval", str(run), *options.split()]).startswith(said)
    assert not (run / "eval").exists()


def test_a_run_that_takes_no_results(write_run: Callable[..., Path], tmp_path: Path) -> None:
    run = write_run()
    for name in ("allocation.parquet", "memory.safetensors", "metrics.jsonl", "eval"):
        (run / name).touch()
    line = refused(tmp_path, ["eval", str(run), "--task", "docmem"])
    assert line == f"{run / 'eval'}: cannot be written (Not a directory)\n"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("eval outputs/none --task docmem", "outputs/none: there is no such run folder"),
        ("eval --baseline --model nowhere --task docmem", "unknown model 'nowhere'"),
        ("eval --baseline --model {model} --corpus jsonl:nowhere --task docmem", "nowhere: cannot be read"),
        ("train --model nowhere", "unknown model 'nowhere'"),
        ("train --model {model} --corpus jsonl:nowhere", "nowhere: cannot be read"),
        ("train --model {model} --corpus peeple:count=2", "unknown corpus 'peeple' (did you mean 'people'?)"),
        ("train --model {model} --corpus {corpus} --layer last", "--layer 'last' is not a number"),
        ("train --model {model} --corpus {corpus} --device gpu", "--device 'gpu' is no device"),
        ("train --model {model} --corpus {corpus} --group-by words", "unknown --group-by 'words'"),
        ("train --model {model} --corpus {corpus} --match-subjects nowhere", "CounterFact file nowhere is not there"),
        ("train --model {model} --corpus {corpus} --save-dir {model}/config.json/x", "{model}/config.json/x: cannot"),
        ("sweep {grid} --dry-run", "{grid}: unknown allocation 'simset9'"),
        ("sweep {grid}", "{grid}: unknown allocation 'simset9'"),
        ("study {grid} --dry-run", "{grid}: unknown allocation 'simset9'"),
        (
            "study quick --to {model}/config.json",
            "{model}/config.json: cannot be written (Not a directory), use another",
        ),
        # "File name too long", or from Python 3.14 on that there is no such file.
        ("allocate --query bees --output {long}", "{long}: "),
        ("sweep nowhere.yaml", "nowhere.yaml: there is no such grid file"),
        ("allocate --corpus {corpus} --output {corpus}.x/a --allocation simset9", "unknown allocation 'simset9'"),
    ],
)
def test_a_wrong_value_elsewhere(tiny_gpt2: Path, tiny_corpus: Path, tmp_path: Path, command: str, said: str) -> None:
    grid = tmp_path / "grid.yaml"
    fixed = f"{{model: {tiny_gpt2}, corpus: 'jsonl:{tiny_corpus}', num_docs: 4}}"
    grid.write_text(f"axes: {{allocation: [random, simset9]}}\nfixed: {fixed}\n")
    names = {"model": str(tiny_gpt2), "corpus": f"jsonl:{tiny_corpus}", "grid": str(grid), "long": "x" * 300}
    line = refused(tmp_path, command.format(**names).split())
    assert line.startswith(said.format(**names)), line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["grid.yaml"]


@pytest.mark.parametrize("command", [["leaderboard"], ["show"], ["analyze"], ["train", "--save-dir"], ["verify"]])
def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path, command: list[str]) -> None:
    assert refused(tmp_path, [*command, "caf\udce9"]) == "caf\ufffd: cannot be used, since it is not UTF-8\n"


def test_a_folder_is_no_output_of_an_allocation(tmp_path: Path) -> None:
    assert refused(tmp_path, ["allocate", "--corpus", "people:count=9", "--output", "."]).startswith(
        "--output .: is a f"
    )


def test_a_grid_is_read_within_limits(tmp_path: Path) -> None:
    with (tmp_path / "big.yaml").open("wb") as file:
        file.truncate(8 << 30)
    assert "more than 1,048,576" in refused(tmp_path, ["sweep", "big.yaml", "--dry-run"])


def test_ctrl_c_while_libraries_are_loaded_is_one_line(tmp_path: Path) -> None:
    interrupt = (
        "import os, runpy, signal, sys\n"
        # A shell in the background lets its commands ignore it.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'simset_bench.cli.sweep': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupted())\n"
        "sys.argv = ['simset-bench', 'models']\n"
        "runpy.run_module('simset_bench', run_name='__main__')\n"
    )
    ran = subprocess.run([sys.executable, "-c", interrupt], capture_output=True, text=True, cwd=tmp_path)
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "error: interrupted before anything was done\n")


@pytest.mark.parametrize(
    ("command", "what"),
    [
        (["leaderboard", "--html", "page.html"], "--html"),
        (["leaderboard", "--retention", "left.svg"], "--retention"),
        (["contrast", "--between", "allocation=simset2,random", "--plot", "plot.svg"], "--plot"),
        (["analyze", "a.parquet", "--plots", "plots"], "--plots"),
        (["study", "study_alphas", "--dry-run"], "the page of a study"),
    ],
)
def test_what_draws_says_what_to_install_before_anything_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: list[str], what: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("simset_bench.errors.find_spec", lambda _: None)
    result = CliRunner().invoke(app, command)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"error: {what} needs altair: pip install 'simset-bench[plots]'\n"
    assert not list(tmp_path.iterdir())


def test_json_turns_no_text_of_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"id": "caf\N{LATIN SMALL LETTER E WITH ACUTE}\N{RIGHT-TO-LEFT OVERRIDE}abc"})
    printed = capsys.readouterr().out
    assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in printed
    assert json.loads(printed)["id"].endswith("\N{RIGHT-TO-LEFT OVERRIDE}abc")
