"""One record a measure: its better side agrees with the tasks, and all that shows it reads the record."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml

from simset_bench.evaluation.measures import (
    MEASURES,
    Measure,
    bare_name,
    best_known,
    direction,
    find_measure,
    short_name,
    summed_over_tokens,
)
from simset_bench.evaluation.request import EvalRequest
from simset_bench.evaluation.run import evaluate_runs
from simset_bench.leaderboard.page_data import page_data
from simset_bench.leaderboard.render import as_json
from simset_bench.leaderboard.table import make_leaderboard
from simset_bench.results.read import read_runs

REPOSITORY = Path(__file__).resolve().parents[2]


class Loader(yaml.SafeLoader):
    """Reads a task's YAML without importing the functions that it names."""


Loader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))
METRICS = [
    (path.stem, metric["metric"], metric["higher_is_better"])
    for path in sorted((REPOSITORY / "tasks").glob("*/*.yaml"))
    for metric in yaml.load(path.read_text(), Loader)["metric_list"]
]


@pytest.mark.parametrize(
    ("measure", "better"),
    [
        ("nll", "lower"),
        ("exact_match", "higher"),
        ("nll_true_rewrite", "lower"),
        ("nll_new_neighborhood_memorised", "higher"),
        ("truth_preference_paraphrase", "higher"),
        ("teacher_forced_accuracy_question", "higher"),
        ("exact_match_locality", "higher"),
        ("erasure_own", "higher"),
        ("erasure_others", "lower"),
        ("nll_erased", "higher"),
        ("nll_base", None),
        ("perplexity_base", None),
        ("auc_loss_base", None),
        ("privacy_leakage", None),
        ("nll_gain", "higher"),
        ("nll_true_rewrite_memorised_gain", "higher"),
        ("something", None),
    ],
)
def test_directions(measure: str, better: str | None) -> None:
    assert direction(measure) == better


def test_the_floor_of_a_score_has_the_suffixes_of_the_score() -> None:
    assert find_measure("counterfact/f1+qa").chance == "majority_f1"
    assert find_measure("zsre/exact_match_rephrase+qa").chance == "majority_answer_rephrase"
    assert find_measure("exact_match_memorised").chance == "majority_answer_memorised"
    assert find_measure("docmem/exact_match").chance is None
    assert direction("counterfact/majority_f1+qa") is None


def test_directions_are_those_of_the_tasks() -> None:
    assert len(METRICS) > 60
    for task, measure, higher in METRICS:
        assert direction(measure) == ("higher" if higher else "lower"), (task, measure)


KINDS = ("rewrite", "stated", "paraphrase", "neighborhood", "attribute", "rephrase", "locality", "question")
KINDS += ("multihop", "cloze", "fact")


def test_every_measure_of_a_task_is_defined_for_the_user() -> None:
    text = (REPOSITORY / "docs" / "measures.md").read_text()
    for task, measure, _ in METRICS:
        bare = measure.removesuffix("_memorised")
        for kind in KINDS:
            bare = bare.removesuffix(f"_{kind}")
        assert f"`{bare}" in text, (task, measure)


def test_every_task_folder_says_what_it_is_as_lm_eval_asks() -> None:
    for folder in sorted({path.parent for path in (REPOSITORY / "tasks").glob("*/*.yaml")}):
        text = (folder / "README.md").read_text()
        headings = ["### Paper", "### Citation", "### Groups, Tags, and Tasks", "### Checklist", "### Changelog"]
        assert [heading for heading in headings if heading not in text] == [], folder
        assert all(f"`{path.stem}`" in text for path in folder.glob("*.yaml")), folder


@pytest.mark.parametrize(
    ("measure", "bare"),
    [
        ("docmem/nll", "nll"),
        ("docmem/nll@oracle", "nll"),
        ("counterfact:my_file/f1+qa", "f1"),
        ("counterfact/f1_rephrase@oracle+qa-targets", "f1_rephrase"),
        ("counterfact/nll_true_rewrite@erased+qa", "nll_true_rewrite"),
        ("mmlu/mmlu_law.acc", "mmlu_law.acc"),
    ],
)
def test_a_bare_name_is_what_samples_call_it(measure: str, bare: str) -> None:
    assert bare_name(measure) == bare


@pytest.mark.parametrize(
    ("measure", "record"),
    [
        ("docmem/nll@oracle+qa", "docmem/nll"),
        ("damage:wikitext/nll", "damage/nll"),
        ("memorisation/nll", "nll"),
        ("counterfact:my_file/truth_preference_rewrite_memorised", "counterfact/truth_preference_rewrite"),
        ("counterfact/truth_preference_paraphrase", "truth_preference"),
        ("zsre/f1_rephrase", "f1"),
        ("counterfact/f1+qa", "counterfact/f1"),
        ("counterfact/f1+qa-targets", "counterfact/f1"),
        ("on_share", "on_share"),
        ("capacity/bits_memorised", "bits_memorised"),
        ("mmlu/mmlu_law.acc", "mmlu_law.acc"),
    ],
)
def test_a_measure_of_a_board_has_the_record_of_its_task(measure: str, record: str) -> None:
    assert find_measure(measure).name == record


@pytest.mark.parametrize(
    ("measure", "bounds"),
    [
        ("f1", (0, 1)),
        ("docmem/nll", (0, None)),
        ("perplexity", (1, None)),
        ("f1_gain", (-1, 1)),
        ("magnitude_rewrite_gain", (-2, 2)),
        ("nll_gain", (None, None)),
        ("nll_rise", (None, None)),
        ("exact_match_locality", (0, 1)),
        ("auc_loss_base", (0, 1)),
        ("something", (None, None)),
    ],
)
def test_bounds(measure: str, bounds: tuple[float | None, float | None]) -> None:
    assert find_measure(measure).bounds == bounds


def test_a_gain_is_a_mean_of_differences_and_no_hit_or_miss() -> None:
    gain = find_measure("counterfact/truth_preference_rewrite_gain")
    assert (gain.better, gain.is_binary, gain.is_share, gain.chance) == ("higher", False, False, None)
    assert find_measure("nll_gain").by_tokens and "nll_gain" in summed_over_tokens()


def test_the_bases_own_figure_is_better_neither_way_and_is_attacked_by_its_own_scores() -> None:
    assert find_measure("auc_loss_base").parts == ("loss_base_score",)
    assert (find_measure("perplexity_base").better, find_measure("perplexity_base").form) == (None, "other")


def test_a_figure_on_memorised_subjects_is_made_of_samples_on_memorised_subjects() -> None:
    parts = find_measure("counterfact/harmonic_mean_memorised").parts
    assert parts == tuple(f"truth_preference_{kind}_memorised" for kind in ("rewrite", "paraphrase", "neighborhood"))


def test_the_best_known_measures_have_short_names() -> None:
    known = ["docqa/f1@oracle", "damage/nll", "counterfact/f1+qa", "docmem/nll+qa", "docqa/f1", "docmem/nll"]
    assert best_known(known) == ["docmem/nll", "docqa/f1", "counterfact/f1+qa"]
    assert [short_name(name) for name in known[:3]] == ["QA F1 oracle", "damage/nll", "CF F1 +QA"]
    assert short_name("counterfact:file/f1") == "counterfact:file/f1"


@pytest.mark.parametrize(("share", "chance", "lift"), [(1.0, 0.25, 1.0), (0.25, 0.25, 0.0), (0.4, 0.2, 0.25)])
def test_a_lift_is_what_a_share_is_above_chance(share: float, chance: float, lift: float) -> None:
    derive = MEASURES["on_share_lift"].derive
    assert derive is not None
    assert derive({"on_share": share, "entry_share": chance}) == pytest.approx(lift)
    assert derive({"on_share": 1.0, "entry_share": 1.0}) is None


def test_a_measure_that_is_added_is_in_a_runs_result_on_the_board_and_on_the_page(
    run_of_method: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def squared(values: Mapping[str, float]) -> float | None:
        return values["nll"] ** 2 if "nll" in values else None

    added = Measure("doubt", "lower", unit="nats squared", short="doubt", derive=squared)
    monkeypatch.setitem(MEASURES, "doubt", added)
    run = run_of_method("memory")
    (result,) = evaluate_runs([run], EvalRequest(("memorisation",), limit=4, device="cpu"))
    samples = [json.loads(line) for line in (run / "eval/memorisation.free.samples.jsonl").read_text().splitlines()]
    squares = [sample["measures"]["nll"] ** 2 for sample in samples if "nll" in sample["measures"]]
    assert result["measures"]["doubt"] == pytest.approx(sum(squares) / len(squares))
    assert result["higher_is_better"]["doubt"] is False
    table = read_runs([run])
    board = make_leaderboard(table, sort="doubt")
    assert as_json(board)["rows"][0]["measures"]["memorisation/doubt"] == result["measures"]["doubt"]
    (shown,) = [each for each in page_data(board, table)["measures"] if each["name"] == "memorisation/doubt"]
    assert (shown["short"], shown["better"], shown["unit"], shown["headline"]) == (
        "doubt",
        "lower",
        "nats squared",
        True,
    )
