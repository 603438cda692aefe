"""Ranking: one row a configuration, seeds averaged, neighbours told apart or not."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from simset_bench.errors import RequestError
from simset_bench.leaderboard.table import Leaderboard, make_leaderboard, remarks, sentences
from simset_bench.results.read import read_runs

Write = Callable[..., Path]
LOW, MIDDLE, HIGH = [0.1, 0.2, 0.3, 0.6], [0.5, 0.6, 0.4, 0.5], [3.0, 3.1, 2.8, 3.3]


def nll(values: list[float]) -> dict[str, dict[str, list[float]]]:
    return {"docmem": {"nll": values}}


@pytest.fixture
def board_of(tmp_path: Path) -> Callable[..., Leaderboard]:
    return lambda *options, **named: make_leaderboard(read_runs([tmp_path]), *options, **named)


def ranked(board: Leaderboard) -> list[object]:
    return [row.labels["allocation"] for row in board.rows]


def test_lower_is_first_for_an_nll_and_higher_for_a_share(write_run: Write, board_of: Callable) -> None:
    write_run(nll(HIGH) | {"location": {"on_share": HIGH}}, allocation="none")
    write_run(nll(LOW) | {"location": {"on_share": LOW}}, allocation="random")
    assert ranked(board_of()) == ["random", "none"]
    assert ranked(board_of(sort="on_share")) == ranked(board_of(sort="location/on_share")) == ["none", "random"]
    assert board_of().sort == "docmem/nll"


def test_lm_evals_own_direction_ranks_its_tasks(write_run: Write, board_of: Callable) -> None:
    for name, values in (("none", LOW), ("random", HIGH)):
        path = write_run({"sciq": {"acc": values}}, allocation=name) / "eval" / "sciq.free.json"
        path.write_text(path.read_text().replace('"higher_is_better": {}', '"higher_is_better": {"acc": true}'))
    assert ranked(board_of(sort="acc")) == ["random", "none"]


def test_seeds_are_averaged_with_their_spread(write_run: Write, board_of: Callable) -> None:
    seeds = [[0.1, 0.2], [0.3, 0.5], [0.2, 0.9]]
    for number, values in enumerate(seeds):
        write_run(nll(values), mem_seed=number)
    write_run(nll([0.1, 0.2]), alpha=2.0)
    board = board_of()
    assert [row.runs for row in board.rows] == [1, 3]
    score = board.rows[1].scores["docmem/nll"]
    means = [np.mean(values) for values in seeds]
    assert score.value == pytest.approx(np.mean(means))
    assert score.spread == pytest.approx(np.std(means, ddof=1))
    over_documents = np.mean([stats.sem(values) ** 2 for values in seeds])
    assert score.standard_error == pytest.approx(np.sqrt(over_documents + stats.sem(means) ** 2))


def test_neighbours_that_cannot_be_told_apart_are_said(write_run: Write, board_of: Callable) -> None:
    write_run(nll(LOW), allocation="random")
    write_run(nll(MIDDLE), allocation="simset1", alpha=2.0)
    write_run(nll(HIGH), allocation="none", alpha=0.0)
    board = board_of()
    first, second, third = board.rows
    assert first.above is None
    assert second.above is not None and third.above is not None
    assert second.above.told_apart == (stats.ttest_rel(LOW, MIDDLE).pvalue < 0.05) == False  # noqa: E712
    assert third.above.told_apart == (stats.ttest_rel(MIDDLE, HIGH).pvalue < 0.05) == True  # noqa: E712
    (sentence,) = sentences(board)
    interval = stats.ttest_rel(LOW, MIDDLE).confidence_interval(0.95)
    assert sentence == (
        "random alpha 1 and simset1 alpha 2 cannot be told apart on docmem/nll at 95%: "
        f"difference -0.2 [{interval.low:.3g}, {interval.high:.3g}], paired over 4 documents, 1 and 1 seeds; "
        f"a difference of {second.above.detectable:.2g} would be seen 8 times in 10"
    )


def test_grouping_averages_over_everything_else(write_run: Write, board_of: Callable) -> None:
    for allocation in ("none", "random"):
        for alpha, value in ((0.2, 1.0), (5.0, 2.0)):
            write_run(nll([value, value + (allocation == "none")]), allocation=allocation, alpha=alpha)
    board = board_of(group_by=["alpha"])
    assert board.columns == ("alpha",) and board.averaged == "runs"
    assert [(row.labels["alpha"], row.runs) for row in board.rows] == [(0.2, 2), (5.0, 2)]
    assert [row.scores["docmem/nll"].value for row in board.rows] == [1.25, 2.25]


def test_where_leaves_the_others_out(write_run: Write, board_of: Callable) -> None:
    write_run(nll(LOW), alpha=0.2)
    write_run(nll(HIGH), alpha=5.0)
    assert [row.labels["alpha"] for row in board_of("alpha >= 1").rows] == [5.0]
    with pytest.raises(RequestError, match=r"--where 'alpha > 9': none of 2 runs is left"):
        board_of("alpha > 9")


def test_rows_without_the_measure_go_last(write_run: Write, board_of: Callable) -> None:
    write_run({"docqa": {"f1": LOW}}, allocation="none")
    write_run(nll(HIGH), allocation="random")
    write_run(allocation="partitioned")
    board = board_of()
    assert ranked(board)[0] == "random"
    assert all(row.above is None for row in board.rows)


def test_runs_without_any_evaluation_are_still_listed(write_run: Write, board_of: Callable) -> None:
    write_run()
    board = board_of()
    assert (len(board.rows), board.sort, board.measures) == (1, None, ())
    with pytest.raises(RequestError, match="--sort nll: none of these runs was evaluated"):
        board_of(sort="nll")


def test_a_column_shows_where_rows_differ_in_it(write_run: Write, board_of: Callable) -> None:
    write_run(nll(LOW))
    assert "entries" not in board_of().columns
    write_run(nll(LOW), entries=128)
    assert "entries" in board_of().columns


def test_an_ambiguous_or_unknown_measure_or_column_is_named(write_run: Write, board_of: Callable) -> None:
    write_run(nll(LOW) | {"damage": {"nll": HIGH}})
    with pytest.raises(RequestError, match="--sort nll: say of which task: damage/nll, docmem/nll"):
        board_of(sort="nll")
    with pytest.raises(RequestError, match=r"no run has measure 'docmem/nl' \(did you mean 'docmem/nll'\?\)"):
        board_of(sort="docmem/nl")
    with pytest.raises(RequestError, match=r"--group-by: unknown column 'alocation' \(did you mean 'allocation'\?\)"):
        board_of(group_by=["alocation"])


def test_limits_and_half_asked_rows_are_remarked(write_run: Write, board_of: Callable) -> None:
    write_run(nll(LOW) | {"docqa": {"f1": LOW}}, limit=4)
    write_run(nll(LOW), mem_seed=1, limit=4)
    assert remarks(board_of()) == [
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
    assert remarks(board_of()) == ["± is one standard error over documents"]


def test_more_rows_ask_more_of_a_difference(write_run: Write, board_of: Callable) -> None:
    """Two rows that a test of their own tells apart may tie in a table of many, where chance has many turns."""
    first, second = [0.1, 0.3, 0.2, 0.5, 0.4, 0.35], [0.3, 0.33, 0.36, 0.54, 0.62, 0.4]
    assert 0.05 / 15 < stats.ttest_rel(first, second).pvalue < 0.05
    for name, values in (("none", first), ("random", second)):
        write_run(nll(values), allocation=name)
    assert [row.standings["docmem/nll"].rank for row in board_of().rows] == [1, 2]
    for number in range(4):
        write_run(nll(np.roll([0.0, 9.0, 0.5, 8.0, 0.2, 7.0], number).tolist()), allocation=f"simset{number}")
    board = board_of()
    assert [row.standings["docmem/nll"].rank for row in board.rows[:2]] == [1, 1]
    sentence = sentences(board)[0]
    assert sentence.startswith("none alpha 1 and random alpha 1 cannot be told apart among all rows on docmem/nll")
