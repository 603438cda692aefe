"""The tables of contrasts in the study are those that the packed boards give today."""

import re
from functools import cache
from pathlib import Path

import pytest

from simset_bench.leaderboard.contrast import Contrast, contrasts
from simset_bench.results.read import RunTable, read_runs

ROOT = Path(__file__).parents[2]
# What the page calls a model and a verdict.
MODELS = {"Llama": "world-llama-small", "GPT-NeoX": "world-neox-small"}
VERDICTS = {
    "more": {"helps", "better"},
    "less": {"harms", "worse"},
    "no difference": {"no"},
    "cannot tell": {"cannot tell"},
}
# The commands of a table stand before it, a line each. Those that have $MODEL are asked for each of its models.
TABLE = re.compile(r"(?P<commands>(?: {4}simset-bench contrast .*\n)+)\n(?P<table>\|.*\| verdict \|\n(?:\|.*\n)+)")
COMMAND = re.compile(r' +simset-bench contrast ((?:leaderboards/\S+ )+)((?:--between \S+ )+)\$OPTIONS --where "(.+)"')
TABLES = list(TABLE.finditer((ROOT / "docs" / "study.md").read_text(encoding="utf-8")))


@cache
def board(folders: str) -> RunTable:
    return read_runs([ROOT / folder for folder in folders.split()])


@cache
def found(command: str, model: str) -> list[Contrast]:
    folders, between, where = COMMAND.fullmatch(command).groups()
    only = where.replace("$MODEL", model)
    if f"model=='{model}'" not in only:
        return []
    return contrasts(board(folders), between.split()[1::2], "people/bits_paraphrase", only, margin=0.1)[1]


def printed(contrast: Contrast) -> tuple[object, ...]:
    """What a row of the page says of a contrast, but its verdict."""
    each = contrast.difference
    means = f"{contrast.first.value:.3f}", f"{contrast.second.value:.3f}"
    interval = f"{each.value:+.3f} [{each.low:.3f}, {each.high:.3f}]"
    return *means, interval, float(f"{contrast.p_value:.2g}"), float(f"{each.detectable:.2g}")


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(TABLES)))
def test_every_row_of_a_table_is_a_contrast_of_its_board(number: int) -> None:
    names, _, *rows = (
        [cell.strip() for cell in line.split("|")[1:-1]] for line in TABLES[number]["table"].splitlines()
    )
    kind = ""
    for row in rows:
        cells = dict(zip(names, row, strict=True))
        kind = cells["model"] or kind
        of_model = [
            contrast for command in TABLES[number]["commands"].splitlines() for contrast in found(command, MODELS[kind])
        ]
        *figures, verdict = row[-6:]
        stated = (*figures[:3], *map(float, figures[3:]))
        same = [each for each in of_model if printed(each) == stated and verdict in VERDICTS[each.verdict]]
        assert len(same) == 1, (kind, row)
        for name in same[0].labels.keys() & cells.keys():
            assert float(cells[name].replace(",", "")) == same[0].labels[name], (kind, row)


def test_all_tables_of_contrasts_have_their_commands() -> None:
    page = (ROOT / "docs" / "study.md").read_text(encoding="utf-8")
    assert len(TABLES) == len(re.findall(r"^\|.*\| verdict \|$", page, re.MULTILINE))
