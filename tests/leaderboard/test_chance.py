"""What guesses would score, beside which a share is read."""

from collections.abc import Callable
from pathlib import Path

from fixtures.boards import LOW

from simset_bench.leaderboard.wording import remarks

Write = Callable[..., Path]


def test_shares_stand_with_their_chance(write_run: Write, board_of: Callable) -> None:
    write_run({"location": {"on_share": LOW, "attribution_at_1": LOW}, "docqa": {"f1": LOW}}, allocation="random")
    write_run({"location": {"on_share": LOW, "entry_share": [0.25] * 6}}, allocation="simset1", num_docs=10)
    board = board_of(sort="on_share")
    chances = {row.kind: row.chances for row in board.rows}
    assert chances["random"] == {"location/on_share": 8 / 64, "location/attribution_at_1": 1 / 4}
    assert chances["simset1"] == {"location/on_share": 0.25}
    assert "by chance: 0.125 to 0.25 on location/on_share; 0.25 on location/attribution_at_1" in remarks(board)


def test_answers_after_fine_tuning_stand_with_what_its_pairs_alone_would_score(
    write_run: Write, board_of: Callable
) -> None:
    after = {"f1": LOW, "exact_match": LOW, "majority_f1": [0.25] * 6, "majority_answer": [0.0, 0.25] * 3}
    write_run({"counterfact": {"f1": LOW}, "counterfact+qa": after})
    (row,) = board_of(sort="counterfact/f1").rows
    assert row.chances == {"counterfact/f1+qa": 0.25, "counterfact/exact_match+qa": 0.125}
