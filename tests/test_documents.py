"""What README and docs tell people to type: every command and snippet of the how-to pages runs, as it is written."""

import re
import shlex
from pathlib import Path

import pytest
import typer.main
from fixtures.page_files import BLOCKS
from fixtures.pages import BLOCK, COMMENT, read_blocks, run_page

from simset_bench.cli.app import app
from simset_bench.training.sweep.grid import read_grid

ROOT = Path(__file__).parent.parent
HOW_TO = [ROOT / "README.md", *sorted((ROOT / "docs").glob("how-to*.md"))]
# Those that take more than about ten seconds.
SLOW = ("how-to", "how-to-baselines", "how-to-leaderboard", "how-to-people")
PAGES = {ROOT / "CONTRIBUTING.md", *HOW_TO, *(ROOT / "docs").glob("*.md"), *(ROOT / "tasks").glob("*/README.md")}


def _case(page: Path) -> object:
    return pytest.param(page, id=page.stem, marks=[pytest.mark.slow] if page.stem in SLOW else [])


@pytest.mark.parametrize("page", [_case(page) for page in HOW_TO])
def test_the_commands_of_a_page_run_as_they_are_written(page: Path, page_folder: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for block, stand_in in BLOCKS.items():
        text = text.replace(block, stand_in)
    run_page(text, page_folder)


def commands() -> set[tuple[str, str]]:
    """Every command of a page, in blocks and in sentences, those that no test runs among them."""
    calls = set()
    for page in PAGES:
        text = COMMENT.sub("", page.read_text(encoding="utf-8"))
        blocks = [block.text.replace("\\\n", " ") for block in read_blocks(text) if not block.is_python]
        lines = [call for block in blocks for line in block.splitlines() for call in line.split(" && ")]
        lines += [" ".join(call.split()) for call in re.findall(r"`(simset-bench (?!-)[^`]+)`", text)]
        calls |= {(page.relative_to(ROOT).as_posix(), call) for call in lines if call.startswith("simset-bench ")}
    return calls


@pytest.mark.parametrize(("page", "line"), sorted(commands()))
def test_a_command_of_the_pages_has_the_options_that_they_give_it(page: str, line: str) -> None:
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    words = shlex.split(line, comments=True)[1:]
    assert words[0] in known, page
    options = {name for option in known[words[0]].params for name in (*option.opts, *option.secondary_opts)}
    given = {word.split("=")[0] for word in words[1:] if word.startswith("--")}
    if words[0] != "lm-eval":
        assert given <= options | {"--help"}, page


GRIDS = [
    pytest.param(match["indented"] or match["fenced"], id=f"{page.stem}-{number}")
    for page in HOW_TO
    for number, match in enumerate(BLOCK.finditer(page.read_text(encoding="utf-8")))
    if re.match(r" *(axes|together):", match["indented"] or match["fenced"])
]


@pytest.mark.parametrize("grid", GRIDS)
def test_a_grid_of_the_pages_has_cells(grid: str, tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    # Three dots stand for further options.
    path.write_text("".join(line for line in grid.splitlines(keepends=True) if line.strip() != "..."))
    assert read_grid(str(path)).cells


TRAIN = "    simset-bench train --num-docs 4\n"


@pytest.mark.parametrize(
    ("page", "why"),
    [
        (f"<!-- tests add to eval: --limit 2 -->\n\n{TRAIN}", "matches nothing: tests add to eval"),
        (f"<!-- tests read 'docs 5' as 'docs 1' -->\n\n{TRAIN}", "matches nothing: tests read"),
        (f"<!-- not run by tests ('--ray'): needs Ray -->\n\n{TRAIN}", "matches nothing: not run by tests"),
        (f"<!-- not run by tests -->\n\n{TRAIN}", "cannot be read: not run by tests"),
        (f"<!-- tests add to train: --epochs 1 -->\n\nText between.\n\n{TRAIN}", "no block right after it"),
    ],
    ids=["add", "read", "leave out", "no reason", "no block"],
)
def test_a_comment_on_tests_that_changes_nothing_is_an_error(page: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        read_blocks(page)


def test_comments_on_tests_change_the_block_that_follows_alone() -> None:
    page = (
        f"<!-- tests add to train: --epochs 1 -->\n\n<!-- tests read '4' as '2' -->\n\n{TRAIN}\nText.\n\n{TRAIN}"
        f"\n<!-- not run by tests ('models'): needs a hub -->\n\n    simset-bench models \\\n      --json\n{TRAIN}"
        "\nText.\n\n    print(1)\n\n    print(2)\n\n```yaml\naxes: {}\n```\n"
    )
    first, second, third, python = read_blocks(page)
    assert (first.text, first.added) == ("simset-bench train --num-docs 2\n", {"train": ["--epochs", "1"]})
    assert second.text == third.text == "simset-bench train --num-docs 4\n" and not second.added
    assert python.is_python and python.text == "print(1)\n\nprint(2)\n"


@pytest.mark.parametrize(
    ("page", "why"),
    [
        ("    simset-bench corpora nowhere\n    simset-bench models\n", "simset-bench corpora nowhere"),
        ("    simset-bench models | head -1 && curl example.org\n", "curl"),
        ("    simset-bench eval RUN --task docmem\n", "RUN"),
        ("    assert not 'a snippet'\n", "AssertionError"),
    ],
    ids=["command", "another program", "no run yet", "Python"],
)
def test_what_fails_on_a_page_fails_its_test(page: str, why: str, page_folder: Path) -> None:
    with pytest.raises(AssertionError, match=why):
        run_page(page, page_folder)
