"""Which way a measure is better."""

from pathlib import Path

import pytest
import yaml

from simset_bench.results.measures import bare_name, direction

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


def test_directions_are_those_of_the_tasks() -> None:
    assert len(METRICS) > 60
    for task, measure, higher in METRICS:
        assert direction(measure) == ("higher" if higher else "lower"), (task, measure)


def test_every_measure_of_a_task_is_defined_for_the_user() -> None:
    text = (REPOSITORY / "docs" / "measures.md").read_text()
    for task, measure, _ in METRICS:
        bare = measure.removesuffix("_memorised")
        for kind in ("rewrite", "paraphrase", "neighborhood", "attribute", "rephrase", "locality"):
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
        ("counterfact/nll_true_rewrite@erased+qa", "nll_true_rewrite"),
        ("mmlu/mmlu_law.acc", "mmlu_law.acc"),
    ],
)
def test_a_bare_name_is_what_samples_call_it(measure: str, bare: str) -> None:
    assert bare_name(measure) == bare
