"""zsRE, PopQA, relations and FEVER, asked of a tiny base."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.request import EvalRequest
from simset_bench.evaluation.run import evaluate_subject
from simset_bench.evaluation.subject import Subject
from simset_bench.evaluation.task_options import TaskOptions
from simset_bench.evaluation.tasks.questions import fever_rows
from simset_bench.training.config import make_config
from simset_bench.training.prepare import load_documents

LABELS = {"A": "SUPPORTS", "B": "REFUTES", "C": "NOT ENOUGH INFO"}


@pytest.fixture(scope="module")
def ask(lm: MemoryLM, tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict]:
    """What `eval` gives for one task of a bare base, with its rows under `rows`."""

    def asked(task: str, source: str | Path, limit: int | None = None, corpus: str | None = None) -> dict:
        folder = tmp_path_factory.mktemp("asked")
        about = {"corpus": corpus, "num_docs": 2} if corpus else {"corpus": f"jsonl:{tiny_corpus}", "num_docs": 4}
        config = make_config(None, model="m", **about)
        subject = Subject(lm, config, load_documents(config), None, folder)
        (result,) = evaluate_subject(subject, EvalRequest((task,), limit=limit, data=str(source)))
        (rows,) = (folder / "eval" / "rows_free").iterdir()
        return result | {"rows": [json.loads(line) for line in rows.read_text().splitlines()]}

    return asked


def test_fever_shows_two_claims_of_each_verdict_and_asks_about_others(
    ask: Callable[..., dict], format_data: Path
) -> None:
    found = ask("fever", format_data / "fever" / "claims.jsonl", 8)
    assert set(found["measures"]) == {"f1_micro", "f1_macro", "verdict_accuracy", "unparsable"}
    assert found["n"]["f1_macro"] == 8 and set(found["groups"]["label"]) <= set(LABELS.values())
    for row in found["rows"]:
        examples = row["prompt"].split("\n\n")
        assert len(examples) == 7
        assert Counter(example[-1] for example in examples[:6]) == {"A": 2, "B": 2, "C": 2}
        assert examples[-1].endswith("\nA. Supports\nB. Refutes\nC. Not enough info\nAnswer:")
        assert row["labels"][row["target"]] == row["label"]
        assert not any(examples[-1].split("\n")[0] == example.split("\n")[0] for example in examples[:6])


def test_a_limit_keeps_the_shares_of_the_verdicts_and_the_memorised_pages_first(
    lm: MemoryLM, tiny_corpus: Path, tmp_path: Path
) -> None:
    """174 claims to be asked, of which those with a memorised page alone are more than 100 and of two verdicts."""
    sizes = {"SUPPORTS": 82, "REFUTES": 64, "NOT ENOUGH INFO": 34}
    path = tmp_path / "claims.jsonl"
    with path.open("w") as file:
        for label, size in sizes.items():
            for number in range(size):
                page = "Skarvik_lighthouse" if number % 5 else "Elsewhere"
                evidence = [] if label == "NOT ENOUGH INFO" else [[[0, 0, page, 0]]]
                claim = {"id": f"{label}-{number}", "claim": f"It is {number}.", "label": label, "evidence": evidence}
                file.write(json.dumps(claim) + "\n")
    config = make_config(None, model="m", corpus=f"jsonl:{tiny_corpus}", num_docs=4)
    subject = Subject(lm, config, load_documents(config), None, tmp_path)
    (every,) = fever_rows(subject, TaskOptions(source=str(path))).values()
    shares = {label: count / 174 for label, count in Counter(row["label"] for row in every).items()}
    assert len(every) == 174 and len(shares) == 3
    for limit in range(1, 175):
        (rows,) = fever_rows(subject, TaskOptions(source=str(path), limit=limit)).values()
        assert rows == every[:limit]
        asked = Counter(row["label"] for row in rows)
        # Each count is its share of some common number rounded, so that it is off by less than 0.5 + 3 * 0.5 * share.
        assert all(abs(asked[label] - limit * share) < 0.5 + 1.5 * share + 1e-9 for label, share in shares.items())
    for label in ("SUPPORTS", "REFUTES"):
        documents = [row["document"] for row in every if row["label"] == label]
        with_one = len(documents) - documents.count(None)
        assert with_one > 0 and None not in documents[:with_one]


def test_relations_are_asked_as_prompts_and_grouped(ask: Callable[..., dict], format_data: Path) -> None:
    file = format_data / "relations" / "country_capital_city.json"
    found = ask("relations", file, 3)
    assert set(found["measures"]) == {"prefix_match", "contains_answer"}
    relation = json.loads(file.read_text())
    first = relation["prompt_templates_zs"][0].replace("{}", relation["samples"][0]["subject"])
    assert found["rows"][0]["prompt"] == first
    assert list(found["groups"]["relation"]) == ["country capital city"]
    assert found["label"] == "relations:country_capital_city"


def test_relations_are_asked_after_examples_that_leave_the_subject_out(
    ask: Callable[..., dict], format_data: Path
) -> None:
    found = ask("relations_fewshot", format_data / "relations" / "country_capital_city.json", 3)
    assert set(found["measures"]) == {"prefix_match", "contains_answer"}
    for row in found["rows"]:
        *examples, prompt = row["prompt"].split("\n")
        assert len(examples) == 5 and prompt == row["query"] and row["subject"] in prompt
        assert not any(row["subject"] in example for example in examples)


SAMPLED = {"exact_match_any", "exact_match_majority", "exact_match_sampled", "f1_sampled"}


def test_questions_of_every_source_are_answered_five_times(
    ask: Callable[..., dict], squad_file: Path, tmp_path: Path
) -> None:
    zsre, popqa = tmp_path / "zsre.json", tmp_path / "popQA.tsv"
    zsre.write_text(json.dumps([{"subject": "Orrin", "src": "What?", "rephrase": "And?", "answers": ["a mill"]}]))
    popqa.write_text('subj\tprop\tquestion\tpossible_answers\nOrrin\tis\tWhat is Orrin?\t["a mill", "mill"]\n')
    for task, kinds in (("zsre", ("", "_rephrase")), ("popqa", ("",)), ("docqa", ("",))):
        about = {"docqa": f"squad:{squad_file}"}.get(task)
        found = ask(f"{task}_samples", {"zsre": zsre, "popqa": popqa}.get(task, "builtin"), corpus=about)
        assert set(found["measures"]) == {f"{name}{kind}" for name in SAMPLED for kind in kinds}
        how = found["generation"][f"simset_{task}_samples"]
        assert (how["temperature"], how["top_p"], how["samples"], how["seed"]) == (0.7, 0.9, 5, 0)
        greedy = ask(task, {"zsre": zsre, "popqa": popqa}.get(task, "builtin"), corpus=about)
        assert greedy["rows"] == found["rows"], "the same is asked"
        assert greedy["generation"][f"simset_{task}"]["max_gen_toks"] == how["max_gen_toks"]


def test_zsre_measures_are_told_apart_by_kind(ask: Callable[..., dict], tmp_path: Path) -> None:
    record = {"subject": "Orrin", "src": "What is Orrin?", "rephrase": "Orrin is what?", "answers": ["a mill"]}
    path = tmp_path / "zsre.json"
    path.write_text(json.dumps([record | {"loc": "nq question: who", "loc_ans": "Nobody"}]))
    found = ask("zsre", path)
    names = {
        f"{name}{kind}" for name in ("exact_match", "f1", "contains_answer") for kind in ("", "_rephrase", "_locality")
    }
    assert set(found["measures"]) == names
    assert found["rows"][0]["prompt"] == "Question: What is Orrin?\nAnswer:"
