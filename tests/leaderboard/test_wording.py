"""What a board says in words."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from fixtures.boards import HIGH, LOW, MIDDLE, nll

from simset_bench.leaderboard.wording import remarks, sentences

Write = Callable[..., Path]
ONE_RUN_A_ROW = (
    "one run a row: ranks and differences are about these runs, and say nothing about their settings, "
    "which takes two seeds or more (mem_seed)"
)


def test_neighbours_that_cannot_be_told_apart_are_said(write_run: Write, board_of: Callable) -> None:
    write_run(nll(LOW), allocation="random")
    write_run(nll(MIDDLE), allocation="simset1", alpha=2.0)
    write_run(nll(HIGH), allocation="none", alpha=0.0)
    board = board_of()
    first, second, third = board.rows
    assert first.above is None
    assert second.above is not None and third.above is not None
    assert (second.above.told_apart, third.above.told_apart) == (False, True)
    sentence = sentences(board)[0]
    # The least and the greatest difference of six: no shift between them is rejected by all signs.
    low, high = min(np.subtract(LOW, MIDDLE)), max(np.subtract(LOW, MIDDLE))
    assert sentence == (
        "These two runs, random alpha 1 and simset1 alpha 2, cannot be told apart on docmem/nll at 95%: "
        f"difference -0.1 [{low:.3g}, {high:.3g}], paired over 6 documents, 1 and 1 seeds; "
        "one seed each says nothing about their settings"
    )


def test_limits_and_half_asked_rows_are_remarked(write_run: Write, board_of: Callable) -> None:
    write_run(nll(LOW) | {"docqa": {"f1": LOW}}, limit=4)
    write_run(nll(LOW), mem_seed=1, limit=4)
    assert remarks(board_of(sort="f1"))[:1] == ["asked with --limit 4: docmem, docqa"]
    assert remarks(board_of())[:3] == [
        "asked with --limit 4: docmem, docqa",
        "not asked of every run of a row, so that others are averaged: docqa",
        "values are means over seeds; ± is one standard error, over documents and seeds",
    ]
    # Another mode of recall is another question, which may have a limit of its own.
    write_run(nll(HIGH) | {"docmem@oracle": {"nll": LOW}}, mem_seed=2, limit=4)
    assert "not asked of every run of a row, so that others are averaged: docmem@oracle, docqa" in remarks(board_of())
    write_run(nll(HIGH), allocation="none")
    assert "asked with different limits, so that rows may not compare: docmem" in remarks(board_of())


def test_one_seed_each_is_remarked_as_such(write_run: Write, board_of: Callable) -> None:
    write_run(nll(LOW))
    assert remarks(board_of()) == ["± is one standard error over documents", "columns: NLL is docmem/nll"]
    write_run(nll(HIGH), alpha=2.0)
    board = board_of()
    assert ONE_RUN_A_ROW in remarks(board) and board.ranks_of_runs
    assert all(line.startswith("These two runs, ") for line in sentences(board))


def test_too_few_documents_for_so_many_rows_are_remarked(write_run: Write, board_of: Callable) -> None:
    generator = np.random.default_rng(0)
    for alpha in range(6):
        write_run(nll((generator.normal(0, 0.01, 6) + alpha).tolist()), alpha=float(alpha))
    remark = "15 of 15 pairs have too few documents to be told apart after Holm's correction"
    assert any(line.startswith(remark) for line in remarks(board_of()))
    assert not any("too few" in line for line in remarks(board_of("alpha < 2")))


def test_evaluations_in_different_dtypes_are_remarked(write_run: Write, board_of: Callable) -> None:
    for number, dtype in enumerate(("float32", "bfloat16")):
        path = write_run(nll(LOW), alpha=float(number)) / "eval" / "docmem.free.json"
        path.write_text(path.read_text().replace('"limit"', f'"dtype": "{dtype}", "limit"'))
    assert "asked in different dtypes, so that rows may not compare: bfloat16, float32" in remarks(board_of())


def test_the_short_names_of_columns_are_said_in_full(write_run: Write, board_of: Callable) -> None:
    write_run({"docmem": {"nll": [1.0, 2.0]}, "location": {"attribution_at_1": [1.0, 0.0], "nll_free": [1.0, 2.0]}})
    assert remarks(board_of())[-1] == "columns: NLL is docmem/nll, attrib.@1 is location/attribution_at_1"
