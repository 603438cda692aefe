"""One meaning of a recall mode: every way of asking a run gives a document the same NLL."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest
import torch
from fixtures.closeness import LOG_PROBABILITY, near
from fixtures.runs import load_run
from lm_eval.api.instance import Instance

from simset_bench import MemoryModel
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.probes.token_scores import ScoredText, token_scores
from simset_bench.evaluation.request import EvalRequest
from simset_bench.evaluation.run import evaluate_runs
from simset_bench.evaluation.subject import subject_of
from simset_bench.training.data.segments import segment_documents
from simset_bench.training.method_options import METHODS
from simset_bench.training.open_run import open_run
from simset_bench.training.recall_modes import ROUTER_OF

# Tokens of a text that a router reads.
SHOWN = 20
WITH_ENTRIES = [name for name, method in METHODS.items() if method.has_entries]


def sampled_nll(run: Path, task: str, recall: str, measure: str = "nll") -> dict[str, float]:
    """The NLL a token of each document that is one segment, by the samples of a task's result."""
    lines = (run / "eval" / f"{task}.{recall}.samples.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    return {record["document"]: record["measures"][measure] for record in records if measure in record["measures"]}


@pytest.mark.parametrize("recall", ["free", "oracle", "erased"])
@pytest.mark.parametrize("method", WITH_ENTRIES)
def test_a_recall_mode_means_the_same_to_every_way_of_asking(
    run_of_method: Callable[[str], Path], method: str, recall: str
) -> None:
    """`docmem` scores requests, `memorisation` tokens, `location` hidden states; `MemoryModel` runs the whole model."""
    run = run_of_method(method)
    evaluate_runs([run], EvalRequest(("docmem", "memorisation", "location"), recall=recall, device="cpu"))
    found = {task: sampled_nll(run, task, recall) for task in ("docmem", "memorisation")}
    found["location"] = sampled_nll(run, "location", recall, f"nll_{recall}")
    model = MemoryModel.from_pretrained(run, device="cpu")
    documents = open_run(run).documents
    segments = segment_documents(documents, model.tokenizer, 128)
    assert len(segments) == len(documents), "documents of one segment each, or a sample is no document"
    for segment in segments:
        document = documents[segment.document].id
        ids = torch.tensor([segment.token_ids])
        with torch.no_grad(), model.recall(recall, doc=document):
            logs = model(input_ids=ids).logits[0].double().log_softmax(-1)
        first = segment.specials + 1
        nll = [-logs[place - 1, ids[0, place]].item() for place in range(first, ids.shape[1])]
        assert {task: values[document] for task, values in found.items()} == near(
            dict.fromkeys(found, sum(nll) / len(nll)), LOG_PROBABILITY
        )


@pytest.mark.parametrize("recall", ROUTER_OF)
@pytest.mark.parametrize("method", WITH_ENTRIES)
def test_routed_recall_is_the_oracles_of_what_was_found_for_every_method_and_way_of_asking(
    lm: MemoryLM, run_of_method: Callable[[str], Path], method: str, recall: str
) -> None:
    """Token scores, and requests whose samples name no document, as those of lm-eval's own tasks are."""
    run = load_run(run_of_method(method))
    subject, decode = subject_of(lm, run), partial(lm.base.tokenizer.decode, skip_special_tokens=True)
    ids = [segment.token_ids for segment in subject.segments(run.documents)]
    prompts = [decode(list(each[:SHOWN])) for each in ids]
    found = [run.route(prompt, recall) for prompt in prompts]
    # Every other document is a copy of the one before it but for a word further on: some routes are wrong.
    assert None not in found and found != [document.id for document in run.documents]
    nothing = [ScoredText(each, SHOWN, None) for each in ids]
    named = [ScoredText(each, SHOWN, document) for each, document in zip(ids, found, strict=True)]
    routed = token_scores(lm.base, nothing, subject.memory_at_work(recall))
    oracle = token_scores(lm.base, named, subject.memory_at_work("oracle"))
    assert [scores.document for scores in routed] == found
    for one, other in zip(routed, oracle, strict=True):
        assert (one.nll == other.nll).all()

    def requests(documents: Sequence[str | None]) -> list[Instance]:
        texts = [(prompt, decode(list(each[SHOWN:]))) for prompt, each in zip(prompts, ids, strict=True)]
        samples = [{"document": document} if document else {"text": "x"} for document in documents]
        about = zip(samples, texts, strict=True)
        return [Instance("loglikelihood", sample, text, n, ("theirs", n, 1)) for n, (sample, text) in enumerate(about)]

    with subject.recalling(recall):
        scores = lm.loglikelihood(requests([None] * len(ids)))
    with subject.recalling("oracle"):
        assert scores == lm.loglikelihood(requests(found))
