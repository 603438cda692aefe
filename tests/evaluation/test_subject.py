"""One meaning of a recall mode: every way of asking a run gives a document the same NLL."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from fixtures.closeness import LOG_PROBABILITY, near

from simset_bench import MemoryModel
from simset_bench.evaluation.request import EvalRequest
from simset_bench.evaluation.run import evaluate_runs
from simset_bench.training.data.segments import segment_documents
from simset_bench.training.method_options import METHODS
from simset_bench.training.open_run import open_run

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
