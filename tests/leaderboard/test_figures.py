"""The comparisons of a study: which rows are set against which, and what the tables say of them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from simset_bench.leaderboard.figures import after_questions, against_none, against_random, figures
from simset_bench.leaderboard.table import Leaderboard, make_leaderboard
from simset_bench.results.differences import exact_limits
from simset_bench.results.read import read_runs

Write = Callable[..., Path]
BEFORE, AFTER = [0.1, 0.2, 0.0, 0.3, 0.1, 0.2, 0.3], [0.5, 0.7, 0.45, 0.6, 0.3, 0.8, 0.65]


@pytest.fixture
def board(write_run: Write, tmp_path: Path) -> Leaderboard:
    """A study in small: two allocations by two alphas at layer 22, one at layer 12, none at alpha 0, and a LoRA."""
    generator = np.random.default_rng(0)
    cells = [("none", 0.0, 22), ("none", 0.0, 12), ("random", 1.0, 22), ("simset2", 1.0, 22), ("simset2", 5.0, 22)]
    for allocation, alpha, layer in [*cells, ("simset2", 1.0, 12)]:
        values = (generator.gamma(4, 0.1, 7) + alpha).tolist()
        measures = {"docmem": {"nll": values}, "counterfact": {"f1": BEFORE}, "counterfact+qa": {"f1": AFTER}}
        write_run(measures, allocation=allocation, alpha=alpha, layer=layer)
    unused = dict.fromkeys(("allocation", "alpha", "layer"))
    write_run({"docmem": {"nll": [0.1, 0.2, 0.1, 0.3, 0.2, 0.1, 0.4]}}, method="lora", **unused)
    return make_leaderboard(read_runs([tmp_path]))


def pairs(lines: list[str]) -> set[tuple[str, str]]:
    return {tuple(line.strip("| ").split(" | ")[:2]) for line in lines[2:]}


def test_an_allocation_is_set_against_random_entries_of_its_alpha_and_layer(board: Leaderboard) -> None:
    assert pairs(against_random(board, "docmem/nll")) == {("simset2 alpha 1, layer 22", "random alpha 1, layer 22")}


def test_a_structure_is_set_against_none_of_its_layer(board: Leaderboard) -> None:
    assert pairs(against_none(board, "docmem/nll")) == {
        ("random alpha 1, layer 22", "none alpha 0, layer 22"),
        ("simset2 alpha 1, layer 22", "none alpha 0, layer 22"),
        ("simset2 alpha 5, layer 22", "none alpha 0, layer 22"),
        ("simset2 alpha 1, layer 12", "none alpha 0, layer 12"),
    }


def test_answers_before_and_after_finetuning_are_paired_by_what_was_asked(board: Leaderboard) -> None:
    lines = after_questions(board, "counterfact/f1")
    assert len(lines) == 2 + 6, "not of the LoRA, which was not asked"
    low, high = exact_limits(np.subtract(AFTER, BEFORE))
    for line in lines[2:]:
        assert f"| {np.mean(AFTER) - np.mean(BEFORE):.3g} | {low:.3g} to {high:.3g} |" in line
        # By all signs of seven differences, corrected over six rows.
        assert "| cannot be told apart | these two runs |" in line and line.endswith("| 0.094 |")
    assert after_questions(board, "docmem/nll") == []


def test_a_section_a_measure_has_its_command_and_its_tables(board: Leaderboard) -> None:
    text = figures(board, "simset-bench leaderboard here")
    assert "    simset-bench leaderboard here --sort counterfact/f1+qa" in text
    assert text.count("Each structure against none; p after Holm's correction over all 4:") == 3
    assert text.count("Before and after question-answer fine-tuning") == 1
    assert "| lora |" in text
