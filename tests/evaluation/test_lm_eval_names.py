"""The names that lm-eval's files give without lm-eval."""

from simset_bench.evaluation.harness import foreign_tasks
from simset_bench.evaluation.lm_eval_names import possible_names


def test_no_task_of_lm_eval_is_missing() -> None:
    known = set(foreign_tasks().task_index)
    assert known <= possible_names()
    assert len(known) > 10_000
    assert not {"docmen", "hellaswagg", "misspelt"} & possible_names()
