"""What README and docs tell people to type: commands and options that there are, and snippets that run."""

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer.main

from simset_bench.cli.app import app
from simset_bench.evaluation.request import EvalRequest
from simset_bench.evaluation.run import evaluate_runs
from simset_bench.training.config import TrainConfig
from simset_bench.training.run import train_run

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += sorted((ROOT / "tasks").glob("*/README.md"))
# An indented block, blank lines within it included, or a fenced one.
BLOCK = re.compile(r"(?:^    .*\n(?:^\n(?=    ))*)+|^```\w*\n(?:.*\n)*?^```$", re.M)


def blocks(page: Path) -> Iterator[str]:
    for block in BLOCK.findall(page.read_text(encoding="utf-8")):
        yield re.sub(r"^    |^```\w*$", "", block, flags=re.M)


def commands() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for block in blocks(page):
            for line in block.replace("\\\n", " ").splitlines():
                for command in line.split(" && "):
                    if command.startswith("simset-bench "):
                        yield page.relative_to(ROOT).as_posix(), command


@pytest.mark.parametrize(("page", "line"), sorted(set(commands())))
def test_a_command_of_the_pages_has_the_options_that_they_give_it(page: str, line: str) -> None:
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    words = shlex.split(line, comments=True)[1:]
    if words[0].startswith("--"):
        return
    assert words[0] in known, page
    options = {name for option in known[words[0]].params for name in (*option.opts, *option.secondary_opts)}
    given = {word.split("=")[0] for word in words[1:] if word.startswith("--")}
    if words[0] != "lm-eval":
        assert given <= options | {"--help"}, page


def test_the_snippets_of_the_notebook_page_run(
    config_of_method: Callable[..., TrainConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = train_run(config_of_method("memory", allocation="simset2"), tmp_path / "outputs" / "quickstart")
    evaluate_runs([folder], EvalRequest(("docmem", "location")))
    monkeypatch.chdir(tmp_path)
    exec(compile("\n".join(blocks(ROOT / "docs" / "how-to-notebook.md")), "how-to-notebook.md", "exec"), {})
    assert "docmem/nll" in capsys.readouterr().out
    assert "vega" in (tmp_path / "plot.html").read_text()
