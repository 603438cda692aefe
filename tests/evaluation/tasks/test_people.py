"""The task on invented people: its rows, and the direct pass against lm-eval's own."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from fixtures.closeness import LOG_PROBABILITY, near

from simset_bench.errors import RequestError
from simset_bench.evaluation.harness import run_ours
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.request import EvalRequest
from simset_bench.evaluation.run import evaluate_runs
from simset_bench.evaluation.subject import Subject, subject_of
from simset_bench.evaluation.task_options import TaskOptions
from simset_bench.evaluation.tasks.build import build_rows, written_rows
from simset_bench.evaluation.tasks.people import candidate_measures, people_direct, people_rows
from simset_bench.evaluation.tasks.rows import Row
from simset_bench.training.config import TrainConfig
from simset_bench.training.open_run import LoadedRun, open_run
from simset_bench.training.prepare import load_documents

PEOPLE = 6


@pytest.fixture(scope="module")
def subject(lm: MemoryLM, people_run: LoadedRun) -> Subject:
    return subject_of(lm, people_run)


@pytest.mark.parametrize("recall", ["free", "oracle", "erased"])
def test_the_direct_pass_gives_the_figures_of_lm_eval(subject: Subject, recall: str) -> None:
    with written_rows(build_rows(subject, EvalRequest(("people",), recall=recall))) as rows:
        direct = people_direct(subject, rows.asked, recall)
        assert direct is not None
        with subject.recalling(recall):
            theirs = run_ours(subject.lm, "people", rows.folder)
    assert set(direct.estimates) == set(theirs.estimates)
    for name, estimate in theirs.estimates.items():
        assert direct.estimates[name].value == near(estimate.value, LOG_PROBABILITY), name
        assert direct.estimates[name].n == estimate.n
        if estimate.standard_error is not None:
            assert direct.estimates[name].standard_error == near(estimate.standard_error, LOG_PROBABILITY)
    for group, values in theirs.groups.items():
        assert {value: set(measures) for value, measures in direct.groups[group].items()} == {
            value: set(measures) for value, measures in values.items()
        }
        for value, measures in values.items():
            for name, estimate in measures.items():
                assert direct.groups[group][value][name].value == near(estimate.value, LOG_PROBABILITY)


def test_every_fact_is_asked_in_every_form_about_its_own_document(subject: Subject) -> None:
    rows = people_rows(subject, TaskOptions())["people"]
    assert len(rows) == PEOPLE * 6 * 3
    assert len({row["sample"] for row in rows}) == len(rows)
    titles = {document.id: document.title for document in subject.documents}
    for row in rows:
        assert titles[row["document"]] == row["subject"] and row["subject"] in row["prompt"]
        assert row["choices"][row["answer"]] == row["target"] and len(row["choices"]) == 32
        assert row["relatives"] == 2
    assert len(people_rows(subject, TaskOptions(limit=4))["people"]) == 12


def test_choices_of_kin_are_what_is_true_of_a_relative_and_not_of_the_subject(subject: Subject) -> None:
    documents = {document.id: document for document in subject.documents}
    for row in people_rows(subject, TaskOptions())["people"]:
        family = [document for document in subject.documents if document.topic == documents[row["document"]].topic]
        values = {fact.value for document in family for fact in document.facts if fact.attribute == row["relation"]}
        assert {row["choices"][number].strip() for number in row["kin"]} == values - {row["target"].strip()}


def _row(**fields: object) -> Row:
    return {"form": "stated", "answer": 2, "kin": [5], "choices": [""] * 32} | fields


def test_a_wrong_answer_is_kins_where_it_is_true_of_a_relative() -> None:
    def scores(best: int) -> np.ndarray:
        return np.where(np.arange(32) == best, 0.0, -9.0)

    right, of_kin, other = (candidate_measures(_row(), scores(best)) for best in (2, 5, 7))
    assert right["accuracy_stated"] == 1 and "wrong_kin_stated" not in right
    # Bits are whole multiples of 1 / 4096, the nearest.
    assert right["bits_stated"] == pytest.approx(5 - math.log2(1 + 31 * math.exp(-9)), rel=0, abs=1 / 8192)
    assert (right["bits_stated"] * 4096).is_integer()
    assert (of_kin["accuracy_stated"], of_kin["wrong_kin_stated"]) == (0, 1)
    assert (other["accuracy_stated"], other["wrong_kin_stated"]) == (0, 0)
    assert "wrong_kin_stated" not in candidate_measures(_row(kin=[]), scores(7))
    of_memory = candidate_measures(_row(facts_a_parameter=0.5), scores(2))
    assert of_memory["recalled_bits_per_parameter_stated"] == of_memory["bits_stated"] / 2


def test_a_result_has_gains_over_the_base_and_figures_by_attribute(people_folder: Path) -> None:
    (result,) = evaluate_runs([people_folder], EvalRequest(("people",), control=True))
    measures = result["measures"]
    for form in ("stated", "paraphrase", "question"):
        assert measures[f"bits_{form}_gain"] == pytest.approx(measures[f"bits_{form}"] - measures[f"bits_{form}_base"])
        assert {f"accuracy_{form}", f"exact_match_{form}", f"recalled_bits_per_parameter_{form}"} <= set(measures)
    assert measures["bits_stated_gain"] > 0
    file = json.loads((people_folder / "eval" / "people.free.json").read_text())
    assert set(file["groups"]["relation"]) == {"birthplace", "employer", "profession", "instrument", "sport", "pet"}
    # What all facts together would add, over the parameters that hold it.
    bits = measures["bits_stated"] * PEOPLE * 6
    assert measures["recalled_bits_per_parameter_stated"] == pytest.approx(bits / _parameters(people_folder))


def _parameters(run: Path) -> int:
    memory = getattr(open_run(run), "memory")  # noqa: B009
    return sum(parameter.numel() for parameter in memory.parameters())


def test_documents_without_facts_are_refused(lm: MemoryLM, tiny_config: TrainConfig, tmp_path: Path) -> None:
    subject = Subject(lm, tiny_config, load_documents(tiny_config), None, tmp_path)
    with pytest.raises(RequestError, match=r"people: corpus jsonl:.* has no facts about people"):
        people_rows(subject, TaskOptions())
