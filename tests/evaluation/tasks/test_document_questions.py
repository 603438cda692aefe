"""Questions of document-editing benchmarks: by kind, on whole texts, and on texts that were not memorised."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simset_bench.corpora.load import load_corpus
from simset_bench.errors import RequestError
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.request import EvalRequest
from simset_bench.evaluation.run import evaluate_runs, evaluate_subject
from simset_bench.evaluation.subject import Subject
from simset_bench.evaluation.task_options import TaskOptions
from simset_bench.evaluation.tasks.document_questions import WHOLE_TEXT_TOKENS
from simset_bench.evaluation.tasks.scoring import score_document_question, score_whole_text
from simset_bench.evaluation.tasks.table import OUR_TASKS, tasks_folder
from simset_bench.training.config import make_config
from simset_bench.training.prepare import load_documents

EXACT = {"exact_match", "f1"}


@pytest.fixture(scope="module")
def akew_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record in the form of AKEW's MQuAKE-CF.json, with a question of every kind."""
    rewrite = {"prompt": "{} lies on", "subject": "Orrin", "target_new": {"str": "Lake Tamsin"}}
    rewrite |= {"question": "Which lake is Orrin on?", "fact_new_uns": "Orrin lies on Lake Tamsin and grinds barley."}
    rewrite |= {"unsfact_triplets_GPT": [{"subject": "Orrin", "prompt": "{} grinds", "target": "barley"}]}
    record = {"case_id": 1, "requested_rewrite": [rewrite], "questions": ["Who owns it?"], "new_answer": "Ada"}
    path = tmp_path_factory.mktemp("akew") / "MQuAKE-CF.json"
    path.write_text(json.dumps([record]), encoding="utf-8")
    return path


@pytest.fixture
def ask(lm: MemoryLM, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """What `eval` gives for a task of a bare base on all documents of a corpus, with its rows under `rows`."""

    def asked(task: str, corpus: str, **about: Any) -> dict[str, Any]:
        num_docs = about.pop("num_docs", None) or len(load_corpus(corpus))
        config = make_config(None, model="m", corpus=corpus, num_docs=num_docs)
        subject = Subject(lm, config, load_documents(config), None, tmp_path)
        (result,) = evaluate_subject(subject, EvalRequest((task,), **about))
        rows = (tmp_path / "eval" / "rows_free" / f"{task}.jsonl").read_text(encoding="utf-8").splitlines()
        return result | {"rows": [json.loads(row) for row in rows]}

    return asked


def test_questions_are_told_apart_by_kind_and_sentences_shown_as_they_are(
    ask: Callable[..., dict[str, Any]], akew_file: Path
) -> None:
    found = ask("docqa", f"akew:{akew_file}")
    hops = {f"{name}_multihop" for name in EXACT}
    assert set(found["measures"]) == EXACT | hops | {"prefix_match_cloze", "prefix_match_fact"}
    assert {row.get("kind"): row["prompt"] for row in found["rows"]} == {
        "cloze": "Orrin lies on",
        "question": "Orrin\nQuestion: Which lake is Orrin on?\nAnswer:",
        "fact": "Orrin grinds",
        # The title would say the first hop.
        "multihop": "Question: Who owns it?\nAnswer:",
    }
    sampled = ask("docqa_samples", f"akew:{akew_file}")
    assert {row.get("kind") for row in sampled["rows"]} == {"question", "multihop"}
    assert {"exact_match_any", "exact_match_any_multihop"} <= set(sampled["measures"])


def test_a_sentence_is_right_where_it_goes_on_with_the_answer() -> None:
    row = {"kind": "cloze", "answers": ["Lake Tamsin"]}
    assert score_document_question(row, [" Lake Tamsin, in the north\nof it"]) == {"prefix_match_cloze": 1.0}
    assert score_document_question(row, [" the village Tamsin"]) == {"prefix_match_cloze": 0.0}
    question = {"answers": ["Lake Tamsin"]}
    assert score_document_question(question, ["lake Tamsin."]) == {"exact_match": 1.0, "f1": 1.0}


def test_whole_texts_are_asked_in_two_wordings(ask: Callable[..., dict[str, Any]], unke_file: Path) -> None:
    found = ask("docqa_text", f"unke:{unke_file}")
    assert set(found["measures"]) == {f"rouge_l{part}{kind}" for part in ("", "_recall") for kind in ("", "_rephrase")}
    assert found["n"]["rouge_l"] == found["n"]["rouge_l_rephrase"] == 2
    assert [row["target"] for row in found["rows"][::2]] == [each.text for each in load_corpus(f"unke:{unke_file}")]
    parts = ask("docqa", f"unke:{unke_file}")
    assert set(parts["measures"]) == EXACT and parts["n"]["f1"] == 5
    assert not any("kind" in row for row in parts["rows"]), "as those of SQuAD"


def test_the_budget_of_a_whole_text_is_that_of_the_task() -> None:
    (task,) = tasks_folder().glob("*/simset_docqa_text.yaml")
    assert f"max_gen_toks: {WHOLE_TEXT_TOKENS}\n" in task.read_text(encoding="utf-8")


def test_what_follows_a_whole_text_does_not_count() -> None:
    row = {"target": "Orrin lies on Lake Tamsin.", "kind": "question"}
    assert score_whole_text(row, [f" {row['target']} And so on and on."]) == {"rouge_l": 1.0, "rouge_l_recall": 1.0}
    half = score_whole_text(row | {"kind": "rephrase"}, ["Orrin lies"])
    assert half["rouge_l_recall_rephrase"] == pytest.approx(2 / 5) and half["rouge_l_rephrase"] == pytest.approx(4 / 7)


def test_held_out_questions_are_on_documents_that_were_not_memorised(
    ask: Callable[..., dict[str, Any]], unke_file: Path, squad_file: Path
) -> None:
    own = ask("docqa_held_out", f"unke:{unke_file}", num_docs=1)
    assert own["label"] == "docqa_held_out"
    assert [row["sample"] for row in own["rows"]] == ["1/1", "1/2"]
    assert all(row["document"] is None and row["subject"] == "1" for row in own["rows"])
    other = ask("docqa_held_out", f"unke:{unke_file}", task_data=(("docqa_held_out", f"squad:{squad_file}"),))
    assert other["label"] == "docqa_held_out:squad" and len(other["rows"]) == 3
    with pytest.raises(RequestError, match=r"docqa_held_out: corpus unke:.* has no questions on documents that were"):
        ask("docqa_held_out", f"unke:{unke_file}")


@pytest.fixture
def fiction_file(tmp_path: Path) -> Path:
    """Texts of two styles on two events in the form of FictionalQA's `joined_qa`, each with a question."""
    rows = [
        {
            "event_id": event,
            "fiction_id": f"{event}_{style}",
            "style": style,
            "fiction": f"By {style}: the mill of {event} ground barley and its wheel was made of larch.",
            "question_id": f"{event}_{style}_0",
            "question": f"What did the mill of {event} grind, says {style}?",
            "span_answer": "barley",
        }
        for event in ("Orrin", "Dorn")
        for style in ("news", "blog")
    ]
    path = tmp_path / "joined_qa.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def test_a_held_out_style_is_asked_of_the_events_that_were_memorised(
    run_of: Callable[..., Path], fiction_file: Path
) -> None:
    run = run_of(corpus=f"fictionalqa:{fiction_file},hold-out=blog", num_docs=2, group_by="topic", epochs=1)
    held_out = (("docqa_held_out", f"fictionalqa:{fiction_file},style=blog"),)
    results = evaluate_runs([run], EvalRequest(("docqa", "docqa_held_out"), recall="oracle", task_data=held_out))
    by_task = {result["task"]: result for result in results}
    assert by_task["docqa_held_out"]["n"]["f1"] == by_task["docqa"]["n"]["f1"] == 2
    written = (run / "eval" / "rows_oracle" / "docqa_held_out.jsonl").read_text(encoding="utf-8").splitlines()
    asked = [json.loads(line) for line in written]
    assert [row["document"] for row in asked] == ["Orrin", "Dorn"], "oracle is about the event"
    assert all("says blog" in row["prompt"] for row in asked)


def test_texts_of_a_held_out_style_become_likelier_where_their_events_were_memorised(
    run_of: Callable[..., Path], fiction_file: Path
) -> None:
    run = run_of(corpus=f"fictionalqa:{fiction_file},hold-out=blog", num_docs=2, epochs=30)
    source = f"fictionalqa:{fiction_file},style=blog"
    (result,) = evaluate_runs([run], EvalRequest(("damage",), task_data=(("damage", source),)))
    assert result["n"]["nll_rise"] == 2 and result["measures"]["nll_rise"] < 0


def test_a_corpus_without_such_questions_is_refused(lm: MemoryLM, squad_file: Path, tmp_path: Path) -> None:
    config = make_config(None, model="m", corpus=f"squad:{squad_file}", num_docs=2)
    subject = Subject(lm, config, load_documents(config), None, tmp_path)
    with pytest.raises(RequestError, match=r"docqa_text: corpus squad:.* no question that a whole document answers"):
        OUR_TASKS["docqa_text"].rows(subject, TaskOptions())
