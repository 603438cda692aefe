"""Plans: which cells are one training, and which trainings go together."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from simset_bench.errors import RequestError
from simset_bench.training.config import TrainConfig
from simset_bench.training.sweep.plan import (
    Training,
    distinct_trainings,
    layers_beside,
    make_fleets,
    plan_fleets,
    read_plan,
    write_plan,
)

CELL = TrainConfig(layer=1, num_docs=8, num_clusters=8)
ALPHAS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 2.0, 5.0)
CELLS = [replace(CELL, alpha=a, allocation=n) for n in ("random", "partitioned", "simset2") for a in ALPHAS]


def test_alpha_0_is_trained_once_for_all_allocations() -> None:
    trainings = distinct_trainings(CELLS)
    assert len(trainings) == 22
    assert max(len(training.configs) for training in trainings) == 3


def test_every_alpha_and_location_of_none_is_the_training_of_alpha_0() -> None:
    none = [replace(CELL, alpha=a, allocation="none", location=place) for a in ALPHAS for place in ("soft", "hard")]
    trainings = distinct_trainings([*CELLS, *none])
    assert len(trainings) == 22
    assert max(len(training.configs) for training in trainings) == 3 + 16


def test_another_form_of_the_loss_is_another_training_since_its_metrics_are_others() -> None:
    assert len(distinct_trainings([replace(CELL, alpha=0.0, inductive_form=form) for form in ("log", "ratio")])) == 2


def test_with_a_hard_location_alpha_0_depends_on_the_allocation() -> None:
    assert len(distinct_trainings([replace(cell, location="hard") for cell in CELLS])) == 24


def test_seeds_of_the_memory_are_other_trainings_at_alpha_0() -> None:
    assert len(distinct_trainings([replace(CELL, alpha=0.0, mem_seed=seed) for seed in (0, 1)])) == 2


def test_how_clusters_are_made_matters_only_where_clusters_do() -> None:
    ways = [{"num_clusters": 4}, {"num_clusters": 4, "cluster_by": "topic"}, {"num_clusters": 5, "min_similarity": 0.5}]
    for alpha, trainings in ((0.0, 1), (1.0, 3)):
        assert len(distinct_trainings([replace(CELL, alpha=alpha, **way) for way in ways])) == trainings


def test_a_plan_says_nothing_of_options_that_are_not_in_force(tmp_path: Path) -> None:
    """So that plans from before there were such options keep their fleets."""
    write_plan(tmp_path / "plan.json", make_fleets(distinct_trainings([CELL]), lambda _: 8), 1, ())
    text = (tmp_path / "plan.json").read_text()
    assert "cluster_by" not in text and "min_similarity" not in text


def test_fleets_share_block_and_documents_and_are_of_like_size() -> None:
    cells = [replace(cell, layer=layer) for layer in (1, 2) for cell in CELLS]
    fleets = make_fleets(distinct_trainings(cells), lambda _: 8)
    assert [len(fleet.trainings) for fleet in fleets] == [7, 7, 8] * 2
    assert all(len({config.layer for config in fleet.configs}) == 1 for fleet in fleets)
    assert layers_beside(fleets[0], fleets) == [1, 2]


def test_runs_of_other_batches_do_not_train_together() -> None:
    cells = [CELL, replace(CELL, seed=1), replace(CELL, batch_size=4), replace(CELL, entries=512)]
    assert len(make_fleets(distinct_trainings(cells), lambda _: 8)) == 4


def test_a_plan_read_is_the_plan_written(tmp_path: Path) -> None:
    fleets = make_fleets(distinct_trainings(CELLS), lambda _: 8)
    write_plan(tmp_path / "plan.json", fleets, 4, ("lr",))
    assert read_plan(tmp_path / "plan.json") == fleets


def test_a_plan_from_before_there_was_an_option_keeps_its_fleets(tmp_path: Path) -> None:
    """Its checkpoints and claims are named by the ids of its fleets."""
    path = tmp_path / "plan.json"
    (fleet,) = make_fleets(distinct_trainings([CELL]), lambda _: 8)
    write_plan(path, [fleet], 1, ())
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["fleets"][0]["trainings"][0][0].pop("beta") == CELL.beta
    listed = json.dumps(content["fleets"][0]["trainings"], sort_keys=True)
    content["fleets"][0]["id"] = hashlib.sha256(listed.encode()).hexdigest()[:16]
    path.write_text(json.dumps(content), encoding="utf-8")
    (earlier,) = read_plan(path)
    assert earlier.trainings == fleet.trainings and earlier.id == content["fleets"][0]["id"] != fleet.id
    assert plan_fleets(distinct_trainings([CELL]), lambda _: False, [earlier], lambda _: 8) == [earlier]
    content["fleets"][0]["trainings"][0][0]["alpha"] = 9.0
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(RequestError, match="has other runs than its id says"):
        read_plan(path)


def test_unfinished_fleets_stay_together_when_more_is_asked_for() -> None:
    earlier = make_fleets(distinct_trainings(CELLS), lambda _: 8)
    more = distinct_trainings([*CELLS, replace(CELL, alpha=9.0)])
    fleets = plan_fleets(more, lambda _: False, earlier, lambda _: 2)
    assert fleets[: len(earlier)] == earlier
    assert fleets[len(earlier) :] == make_fleets([Training((replace(CELL, alpha=9.0),))], lambda _: 2)


def test_what_is_done_is_not_planned() -> None:
    fleets = plan_fleets(distinct_trainings(CELLS), lambda config: config.alpha < 5, [], lambda _: 8)
    assert {config.alpha for fleet in fleets for config in fleet.configs} == {5.0}
