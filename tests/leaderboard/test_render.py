"""The four formats, and what hostile names may not do in them."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from simset_bench.leaderboard import render
from simset_bench.leaderboard.columns import number_text
from simset_bench.leaderboard.table import Leaderboard

Write = Callable[..., Path]
VALUES = [0.25, 0.5, 0.75, 1.5, 0.5, 1.0]
EVERYTHING = {
    "docmem": {"nll": VALUES, "exact_match": VALUES},
    "counterfact": {"truth_preference_rewrite": VALUES, "f1": VALUES},
    "location": {"on_share": VALUES, "attribution_at_1": VALUES, "specificity": VALUES},
    "doccloze": {"truth_preference": VALUES},
    "damage": {"nll_rise": VALUES, "nll_base": VALUES},
}


def shown(board: Leaderboard, width: int = 100) -> list[str]:
    console = Console(width=width, file=io.StringIO(), force_terminal=True, color_system=None)
    console.print(render.terminal_table(board, width))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [80, 100, 160])
def test_the_table_fits_the_width_with_whole_words(write_run: Write, board_of: Callable, width: int) -> None:
    for allocation in ("none", "random", "partitioned", "simset3"):
        for seed in range(2):
            write_run(EVERYTHING, model="smollm2-135m", allocation=allocation, mem_seed=seed, alpha=0.2 + seed)
    lines = shown(board_of(), width)
    assert max(map(len, lines)) <= width
    assert len(lines) == 1 + 1 + 8 + 1 + 5, "what agrees, a header, a line a row, what is not shown, lines of alpha"
    header = " ".join(lines[1].split())
    assert header.startswith("run rank range allocation alpha seeds NLL ↓"), "each row is one run"
    assert "…" not in "".join(lines)
    assert lines[0].strip().startswith("model smollm2-135m, layer 22, documents 4, clusters 4")


def test_arrows_show_the_better_side(write_run: Write, board_of: Callable) -> None:
    write_run(EVERYTHING)
    header = render.markdown(board_of()).splitlines()[0]
    assert "NLL ↓" in header and "CF truth ↑" in header and "specificity ↑" in header
    assert "damage/nll\\_base |" in render.markdown(board_of(sort="nll_base")).splitlines()[0]


def test_a_score_stands_with_its_error_and_seeds_with_their_spread(write_run: Write, board_of: Callable) -> None:
    write_run(EVERYTHING, mem_seed=0)
    write_run({"docmem": {"nll": [value + 0.5 for value in VALUES]}}, mem_seed=1)
    (row,) = shown(board_of())[2:3]
    # 0.75 and 1.25: mean 1, spread 0.354; error of documents 0.183, of seeds 0.25.
    assert row.split()[:7] == ["1", "1–1", "simset2", "2", "1.000", "±0.310", "0.354"]


def test_rows_that_tie_carry_an_equals_sign(write_run: Write, board_of: Callable) -> None:
    write_run(EVERYTHING, allocation="none")
    write_run(EVERYTHING, allocation="random")
    assert [line.split()[0] for line in shown(board_of())[2:4]] == ["=1", "=1"]
    assert "| =1 | 1–2 |" in render.markdown(board_of())


def test_what_is_the_same_in_every_row_is_not_shown_and_a_task_has_its_exact_match_instead(
    write_run: Write, board_of: Callable
) -> None:
    sure = {"truth_preference": [1.0] * 6, "nll_true": VALUES, "exact_match": [0.0, 1.0, 0.0, 1.0, 1.0, 0.0]}
    write_run({"docmem": {"nll": VALUES}, "doccloze": sure, "docqa": {"f1": [0.5] * 6}}, allocation="none")
    other = sure | {"exact_match": [0.0] * 6}
    write_run({"docmem": {"nll": VALUES}, "doccloze": other, "docqa": {"f1": [0.5] * 6}}, allocation="random")
    board = board_of()
    header = " ".join(shown(board, 200)[1].split())
    assert header.endswith("seeds NLL ↓ doccloze/exact_match ↑"), "the sorted measure stays, though it is the same"
    assert "3 more measures" in "\n".join(shown(board, 200))
    assert set(render.as_json(board)["rows"][0]["measures"]) == set(board.measures), "JSON and CSV keep everything"
    assert "doccloze/truth_preference standard_error" in render.comma_separated(board)
    assert "cloze ↑" in render.markdown(board_of("allocation == 'none'")), "a single row has nothing to differ from"


@given(st.floats(-1e6, 1e6) | st.integers(-3200, 3200).map(lambda number: number / 16))
def test_a_figure_is_shown_to_three_decimals_or_two_digits_and_never_as_0(value: float) -> None:
    text = number_text(value)
    assert float(text) == pytest.approx(value, rel=0.051, abs=0.0005)
    assert float(text) != 0 or value == 0


def test_a_bare_base_stands_beside_the_runs(write_run: Write, board_of: Callable) -> None:
    write_run(EVERYTHING)
    folder = write_run(EVERYTHING)
    (folder / "config.yaml").write_text("model: m\ncorpus: vital\nnum_docs: 4\n")
    manifest = json.loads((folder / "manifest.json").read_text()) | {"kind": "baseline", "method": None}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    lines = shown(board_of())
    assert "layer 22" in lines[0] and "alpha 1" in lines[0]
    assert {line.split()[2] for line in lines[2:4]} == {"simset2", "base"}
    found = {row["allocation"]: row for row in render.as_json(board_of())["rows"]}
    assert found["base"]["layer"] is None and found["simset2"]["layer"] == 22


def test_csv_has_every_measure_in_full_precision(write_run: Write, board_of: Callable) -> None:
    write_run({"docmem": {"nll": [0.1, 0.2, 0.30000000000000004]}}, alpha=0.2)
    write_run({"docmem": {"nll": [1.1, 1.2, 1.4]}, "docqa": {"f1": VALUES}}, mem_seed=1, alpha=0.2)
    board = board_of()
    (row,) = csv.DictReader(io.StringIO(render.comma_separated(board)))
    assert set(row) >= {"rank", "model", "layer", "documents", "clusters", "allocation", "alpha", "seeds"}
    for measure, score in board.rows[0].scores.items():
        assert float(row[measure]) == score.value
        assert row[f"{measure} standard_error"] == str(score.standard_error)
        assert row[f"{measure} spread"] == ("" if score.spread is None else str(score.spread))
    assert (row["layer"], row["alpha"], row["seeds"]) == ("22", "0.2", "2")


def test_json_is_plain_json_with_all_there_is(write_run: Write, board_of: Callable) -> None:
    write_run(EVERYTHING, allocation="simset1")
    write_run(EVERYTHING, allocation="random")
    found = json.loads(json.dumps(render.as_json(board_of()), allow_nan=False))
    assert found["sort"] == "docmem/nll"
    assert found["better"]["docmem/nll"] == "lower" and found["better"]["damage/nll_base"] is None
    assert [(row["rank"], row["rank_interval"]) for row in found["rows"]] == [(1, [1, 2])] * 2
    assert [row["told_apart_from_above"] for row in found["rows"]] == [None, False]
    assert found["rows"][0]["measures"].keys() == found["rows"][0]["standard_errors"].keys() == found["better"].keys()
    assert len(found["cannot_be_told_apart"]) == 1


@pytest.mark.parametrize(
    "name",
    [
        "[bold red]loud[/]",
        "[link=https://x]y[/link]",
        "\x1b[31mred\x1b]8;;https://x\x07",
        "two\nlines\r\u2028three",
        "a|b",
        "back\\",
        "\\[b]",
        "<script>alert(1)</script>",
        "![i](https://x)",
        "*a* _b_ `c` ~~d~~ &lt;",
        "\u202eright to left",
    ],
)
def test_hostile_names_are_shown_and_do_nothing(write_run: Write, board_of: Callable, name: str) -> None:
    measure = {"docmem": {"nll": VALUES}, "x": {name: VALUES}}
    write_run(measure, model=name, allocation=name)
    write_run(measure | {"docmem": {"nll": VALUES[::2]}}, model="plain", allocation=name, alpha=2.0)
    board = board_of(sort=f"x/{name}")
    lines = shown(board, 400)
    assert len(lines) == 4, "what agrees, a header and two rows: the name makes no line"
    text = "\n".join(lines)
    assert "\x1b" not in text and "\x07" not in text and "\u202e" not in text
    assert render.printable(name) in text
    table = render.markdown(board).splitlines()
    assert len(table) == 4 + 1 + 4, "a head, a rule, two rows, a space, a tie and three remarks"
    bars = [line.replace("\\\\", "").replace("\\|", "").count("|") for line in table[:4]]
    assert len(set(bars)) == 1
    for line in [*table[:1], *table[2:]]:
        assert "<" not in line and "\x1b" not in line and "://" not in line
        bare = line.replace("\\\\", "")
        assert all(bare.count(mark) == bare.count(f"\\{mark}") for mark in "*_`~[]")


@pytest.mark.parametrize(
    "name", ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\tx", "\r=1", "  =1", "＝1", "=cmd|' /C calc'!A0"]
)
def test_no_text_is_a_formula_in_a_spreadsheet(write_run: Write, board_of: Callable, name: str) -> None:
    write_run({"docmem": {"nll": VALUES}, "x": {name: VALUES}}, model=name, mine=name, corpus="-0.5")
    write_run({"location": {"erasure_own": [-0.5, -0.25]}}, mine="other")
    rows = list(csv.reader(io.StringIO(render.comma_separated(board_of()))))
    cells = {cell for row in rows for cell in row}
    assert not any(cell.lstrip()[:1] in tuple("=+@＝") or "\t" in cell or "\r" in cell for cell in cells if cell)
    assert "-0.375" in cells and "-0.5" in cells, "numbers below 0 stay numbers"
    assert all(float(cell) <= 0 for cell in cells if cell.startswith("-"))


def test_markdown_makes_no_link_or_mention_of_an_address() -> None:
    assert render.escaped("www.x.org a@b.org $x$") == "www\\.x.org a\\@b.org \\$x\\$"


def test_no_measure_and_no_label_still_makes_a_table(write_run: Write, board_of: Callable) -> None:
    write_run()
    assert shown(board_of())[1].split() == ["rank", "range", "allocation", "seeds"]
    assert render.markdown(board_of()).splitlines()[2].startswith("| – | – | m | 22 |")
    assert render.comma_separated(board_of()).splitlines()[1].startswith(",,,,m,22,")


def test_lines_of_the_alpha_response_rise_and_fall_with_the_scores(write_run: Write, board_of: Callable) -> None:
    for allocation, shift in (("random", 0.0), ("simset2", 0.5)):
        for alpha in (0.0, 1.0, 5.0):
            write_run(
                {"docmem": {"nll": [value + shift + alpha for value in VALUES]}}, allocation=allocation, alpha=alpha
            )
    head, *lines = render.alpha_lines(board_of(), 100)
    assert head == "docmem/nll by alpha, ▁ 0.750 to █ 6.250:"
    assert lines == ["  random   ▁▂▇  alpha 0, 1, 5", "  simset2  ▂▃█  alpha 0, 1, 5"]


@pytest.mark.parametrize("seeds", [1, 4])
def test_only_rows_of_seeds_that_tie_for_the_first_rank_have_a_colour(
    write_run: Write, board_of: Callable, seeds: int
) -> None:
    for place, allocation in enumerate(("none", "random", "simset2")):
        for seed in range(seeds):
            far = 5.0 * (place > 1) + 0.001 * place + 0.002 * seed * place
            nll = [value + far + 0.01 * place * (-1) ** n for n, value in enumerate([*VALUES, *VALUES])]
            write_run({"docmem": {"nll": nll}}, allocation=allocation, mem_seed=seed)
    console = Console(width=100, file=io.StringIO(), force_terminal=True, color_system="standard")
    console.print(render.terminal_table(board_of(), 100))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    named = [line for line in lines if any(name in line for name in ("none", "random", "simset2"))]
    assert ["\x1b[32m" in line for line in named] == [seeds > 1, seeds > 1, False]
