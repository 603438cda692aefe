"""Routed recall: a routed answer is the oracle's of the document that was found, right or wrong."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import bm25s
import numpy as np
import pytest
import torch
from fixtures.closeness import LOG_PROBABILITY, near
from fixtures.runs import load_run
from lm_eval.api.instance import Instance

from simset_bench.corpora.documents import ClosedFact, Document, Prompt
from simset_bench.errors import RequestError
from simset_bench.evaluation.estimates import Scored
from simset_bench.evaluation.harness import run_ours
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.lm_eval_model import SimsetLM
from simset_bench.evaluation.probes.table import PROBES
from simset_bench.evaluation.request import EvalRequest, askable_tasks
from simset_bench.evaluation.run import evaluate_runs
from simset_bench.evaluation.subject import Subject, subject_of
from simset_bench.evaluation.tasks.build import build_rows, written_rows
from simset_bench.evaluation.tasks.people import people_direct
from simset_bench.evaluation.tasks.routed import with_routed_measures
from simset_bench.evaluation.tasks.rows import Row
from simset_bench.models.memory import attached
from simset_bench.simset.shingles import words_of
from simset_bench.training.recall_modes import ROUTER_OF

PEOPLE = 6


@pytest.fixture(scope="module")
def subject(lm: MemoryLM, trained_run: Path) -> Subject:
    return subject_of(lm, load_run(trained_run))


@pytest.fixture(scope="module")
def people(lm: MemoryLM, run_of: Callable[..., Path]) -> Subject:
    """A run on six people of two families."""
    return subject_of(lm, load_run(run_of(corpus=f"people:count={PEOPLE},family=3", num_docs=PEOPLE, epochs=12)))


def as_oracle(rows: dict[str, list[Row]]) -> dict[str, list[Row]]:
    """The same rows as if each were about the document that was found, without what was found."""
    return {
        part: [{k: v for k, v in row.items() if k != "routed"} | {"document": row["routed"]} for row in own]
        for part, own in rows.items()
    }


def asked(subject: Subject, task: str, rows: dict[str, list[Row]], recall: str) -> Scored:
    builds = build_rows(subject, EvalRequest((task,)))
    with written_rows(dataclasses.replace(builds, asked=rows, bare=rows)) as written, subject.recalling(recall):
        return run_ours(subject.lm, task, written.folder)


@pytest.mark.parametrize("recall", ROUTER_OF)
def test_a_routed_answer_is_the_oracles_of_the_document_that_was_found(subject: Subject, recall: str) -> None:
    """Scores and generated texts of lm-eval's way, where the router is right and where it is wrong."""
    rows = {
        part: [row for row in own if row["routed"] is not None]
        for part, own in build_rows(subject, EvalRequest(("docmem",), recall=recall)).asked.items()
    }
    is_right = {row["routed"] == row["document"] for own in rows.values() for row in own}
    assert is_right == {True, False}, "or this tests one half"
    routed = asked(subject, "docmem", rows, recall).samples
    oracle = asked(subject, "docmem", as_oracle(rows), "oracle").samples
    assert [sample["responses"] for sample in routed] == [sample["responses"] for sample in oracle]
    assert [sample["measures"] for sample in routed] == [sample["measures"] for sample in oracle]
    # And another document's entries give another answer.
    own = asked(subject, "docmem", rows, "oracle").samples
    for one, other in zip(routed, own, strict=True):
        if one["routed"] != one["document"] and "nll" in one["measures"]:
            assert one["measures"]["nll"] != other["measures"]["nll"]


def test_the_direct_pass_on_people_answers_by_what_was_found_too(people: Subject) -> None:
    rows = build_rows(people, EvalRequest(("people",), recall="routed", limit=6)).asked
    ids = [document.id for document in people.documents]
    # Names are unique, so that the router is right: every other row is sent to somebody else.
    for number, row in enumerate(rows["people"]):
        assert row["routed"] == row["document"]
        row["routed"] = ids[(ids.index(row["document"]) + number % 2) % len(ids)]
    routed, oracle = people_direct(people, rows, "routed"), people_direct(people, as_oracle(rows), "oracle")
    assert routed is not None and oracle is not None
    assert [sample["measures"] for sample in routed.samples] == [sample["measures"] for sample in oracle.samples]
    theirs = asked(people, "people", rows, "routed")
    for name, estimate in theirs.estimates.items():
        assert routed.estimates[name].value == near(estimate.value, LOG_PROBABILITY), name


def test_routed_at_1_is_what_bm25s_counts_by_itself(trained_run: Path) -> None:
    tasks = ("docmem", "doccloze", "memorisation", "teacher_forcing", "damage", "counterfact")
    results = evaluate_runs([trained_run], EvalRequest(tasks, recall="routed", limit=8))
    documents = load_run(trained_run).documents
    index = bm25s.BM25(method="lucene")
    index.index([words_of(document.text) for document in documents], show_progress=False)

    def found(prompt: str) -> str | None:
        scores = index.get_scores(words_of(prompt)) if words_of(prompt) else np.zeros(1)
        return documents[int(scores.argmax())].id if scores.max() > 0 else None

    by_task = {result["task"]: result for result in results}
    for task, parts in {"docmem": ("docmem", "docmem_continuation"), "doccloze": ("doccloze",)}.items():
        rows = [row for part in parts for row in read(trained_run / "eval" / "rows_routed" / f"{part}.jsonl")]
        assert [row["routed"] for row in rows] == [found(row["prompt"]) for row in rows]
        right = [row["routed"] == row["document"] for row in rows]
        measured = by_task[task]["measures"]["routed_at_1"], by_task[task]["n"]["routed_at_1"]
        assert measured == (pytest.approx(sum(right) / len(right)), len(right))
    # A sample about no memorised document is routed, and is right or wrong about nothing.
    samples = read(trained_run / "eval" / "damage.routed.samples.jsonl")
    assert any(sample["routed"] for sample in samples)
    assert "routed_at_1" not in by_task["damage"]["measures"]
    # No document is about a country or an element.
    assert "routed_at_1" not in by_task["counterfact"]["measures"]
    assert "routed_at_1" not in by_task["teacher_forcing"]["measures"]
    assert "routed_at_1" in by_task["memorisation"]["measures"]


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_what_a_router_reads_is_never_the_answer(people: Subject) -> None:
    """Other targets and candidates change no route; another prompt does."""
    run, ids = people.memory_run, [document.id for document in people.documents]
    for row in build_rows(people, EvalRequest(("people",), recall="routed")).asked["people"]:
        assert row["routed"] == run.route(row["prompt"], "routed")
        assert row["target"].strip() not in row["prompt"]
    assert run.route("xylophone", "routed") is None
    assert {run.route(document.title, "routed") for document in people.documents} == set(ids)


def test_a_text_that_no_document_shares_a_word_with_meets_no_entry(subject: Subject) -> None:
    """What is left of the memory is the bias that it adds to every text."""
    run, lm = subject.memory_run, subject.lm
    rows: dict[str, list[Row]] = {
        "docmem": [{"document": None, "sample": "0", "prompt": "Xylophone", "target": " zzz", "tokens": 1}],
        "docmem_continuation": [{"document": None, "sample": "0", "prompt": "Xylophone", "target": " zzz"}],
    }
    (scored, _) = asked(subject, "docmem", rows, "routed").samples
    context, continuation = lm.encode_pair("Xylophone", " zzz")
    ids = torch.tensor([[*context, *continuation]])
    layer, silent = int(run.config.layer), torch.zeros(run.memory.shape.entries)
    block = lm.base.blocks[layer]
    with torch.no_grad(), attached(lm.base.model, block, run.memory) as active, active.recalling(silent[None, None]):
        logs = lm.base.model(input_ids=ids).logits[0].log_softmax(-1)
    places = torch.arange(len(context) - 1, len(context) + len(continuation) - 1)
    nll = -logs[places, ids[0, len(context) :]].sum().item()
    assert scored["measures"]["nll"] == near(nll, LOG_PROBABILITY)


def person(number: int, family: str) -> Document:
    stated = Prompt(f"P{number} keeps a", ".")
    fact = ClosedFact(f"f{number}", f"P{number}", "pet", "cat", ("cat", "dog"), stated, (), ())
    return Document(f"p{number}", f"P{number}", f"P{number} keeps a cat.", family, (), (fact,))


def test_wrong_routes_to_a_relative_are_routed_kin() -> None:
    """Counted by hand: p0 and p1 are relatives, p2 has none; a sample that is scored and answered counts once."""
    documents = [person(0, "a"), person(1, "a"), person(2, "b")]
    routes = [("p0", "p0"), ("p0", "p1"), ("p0", "p2"), ("p1", None), ("p2", "p0"), (None, "p0")]
    samples = [
        {"document": about, "sample": str(n), "cluster": about or "x", "prompt_hash": f"{n}", "measures": {}}
        | {"routed": routed, "relation": "pet" if n else "sport"}
        for n, (about, routed) in enumerate(routes)
    ]
    scored = with_routed_measures(Scored({}, [*samples, samples[0]], groups={"relation": {"pet": {}}}), documents)
    values = [sample["measures"] for sample in scored.samples]
    assert [each.get("routed_at_1") for each in values] == [1, 0, 0, 0, 0, None, None]
    assert [each.get("routed_kin") for each in values] == [None, 1, 0, None, None, None, None]
    assert (scored.estimates["routed_at_1"].value, scored.estimates["routed_at_1"].n) == (0.2, 5)
    assert (scored.estimates["routed_kin"].value, scored.estimates["routed_kin"].n) == (0.5, 2)
    assert scored.groups["relation"]["pet"]["routed_at_1"].value == 0
    # "p0 keeps a cat" and "p1 keeps a cat" have three of five words in common.
    assert {name: one["routed_at_1"].n for name, one in scored.groups["similarity"].items()} == {"0.6-0.7": 5}
    assert scored.higher_is_better["routed_at_1"] is True


def test_a_people_corpus_says_how_many_wrong_routes_lead_to_a_relative(people: Subject) -> None:
    """The first token of a text is no whole name, so that some routes are wrong."""
    (result,) = evaluate_runs([people.folder], EvalRequest(("docmem",), recall="routed-minhash"))
    topics = {document.id: document.topic for document in people.documents}
    samples = read(people.folder / "eval" / "docmem.routed-minhash.samples.jsonl")
    wrong = [sample for sample in samples if sample["routed"] not in (None, sample["document"])]
    assert wrong, "or this tests nothing"
    of_kin = [topics[sample["document"]] == topics[sample["routed"]] for sample in wrong]
    assert result["measures"]["routed_kin"] == pytest.approx(sum(of_kin) / len(wrong))
    assert result["n"]["routed_kin"] == len(wrong)


@pytest.mark.parametrize("recall", ROUTER_OF)
def test_lm_evals_model_answers_as_ours_from_the_rows_and_from_bare_prompts(trained_run: Path, recall: str) -> None:
    """Rows that say what was found and rows that do not, whose prompts the model routes itself."""
    (ours, _) = evaluate_runs([trained_run], EvalRequest(("docmem", "doccloze"), recall=recall, limit=4))
    evaluate_runs([trained_run], EvalRequest(("docmem",), limit=4))
    lm = SimsetLM(run=str(trained_run), recall=recall, device="cpu", dtype="float32")
    for rows in (f"rows_{recall}", "rows_free"):
        theirs = run_ours(lm, "docmem", trained_run / "eval" / rows)
        for name, estimate in theirs.estimates.items():
            assert ours["measures"][name] == estimate.value, (rows, name)


def test_whole_texts_of_lm_evals_own_tasks_have_no_prompt_to_route(subject: Subject) -> None:
    request = Instance("loglikelihood_rolling", {"text": "a"}, ("A whole text.",), 0, ("wikitext", 0, 1))
    with subject.recalling("routed"), pytest.raises(RequestError, match="wikitext scores whole texts, which have no"):
        subject.lm.loglikelihood_rolling([request])


@pytest.mark.parametrize("recall", ROUTER_OF)
@pytest.mark.parametrize("name", [name for name, probe in PROBES.items() if not probe.has_prompts])
def test_probes_without_prompts_are_refused_before_anything_is_loaded(name: str, recall: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=f"task {name}: --recall {recall} finds documents from prompts, and {name}"):
        evaluate_runs([tmp_path / "no run"], EvalRequest(("docmem", name), recall=recall))


def test_a_run_that_streamed_its_documents_is_refused(trained_run: Path) -> None:
    run = load_run(trained_run)
    config = dataclasses.replace(run.config, allocation_file="all.parquet")
    streamed = dataclasses.replace(run, config=config)
    with pytest.raises(RequestError, match="--recall routed: a router has to search all documents"):
        askable_tasks([streamed], ["docmem"], "routed")
    with pytest.raises(RequestError, match="a router has to search all documents"):
        streamed.route("text", "routed")
