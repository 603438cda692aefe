"""Documents before prompts: their own, or the one that retrieval finds."""

from pathlib import Path

import pytest

from simset_bench.corpora.documents import Document
from simset_bench.corpora.load import load_corpus
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.tasks.documents_in_prompts import with_contexts


@pytest.fixture(scope="module")
def documents(tiny_corpus: Path) -> list[Document]:
    """Four documents, no two of which are near copies."""
    return load_corpus(f"jsonl:{tiny_corpus}", num_docs=8)[::2]


def test_a_document_stands_before_the_prompts_about_it(lm: MemoryLM, documents: list[Document]) -> None:
    first = documents[0]
    about = {"document": first.id, "sample": "0", "prompt": "It was", "target": " built", "tokens": 1}
    rows = {"part": [about, about | {"document": "unknown"}, about | {"choices": [" one", " two"], "tokens": [1, 1]}]}
    found = with_contexts(lm, "in-context", documents, rows)["part"]
    assert found[0]["prompt"] == f"{first.text}\n\nIt was"
    assert (found[0]["bare_prompt"], found[0]["context"]) == ("It was", first.id)
    assert found[0]["tokens"] == lm.continuation_tokens(found[0]["prompt"], " built")
    assert (found[1]["prompt"], found[1]["context"]) == ("It was", None)
    assert found[2]["tokens"] == [lm.continuation_tokens(found[2]["prompt"], choice) for choice in (" one", " two")]
    assert with_contexts(lm, "memory", documents, rows) is rows


def test_a_document_that_does_not_fit_is_cut_at_its_end(lm: MemoryLM, documents: list[Document]) -> None:
    long = Document("long", "", " ".join([documents[0].text] * 12))
    row = {"document": "long", "sample": "0", "prompt": "It was", "target": " built"}
    (found,) = with_contexts(lm, "in-context", [long], {"part": [row]})["part"]
    shown = found["prompt"].removesuffix("\n\nIt was")
    assert long.text.startswith(shown) and len(documents[0].text) < len(shown) < len(long.text)
    assert len(lm.tok_encode(found["prompt"] + " built")) < lm.max_length


def test_retrieval_looks_up_what_is_asked_and_not_the_examples_before_it(
    lm: MemoryLM, documents: list[Document]
) -> None:
    asked = " ".join(documents[1].text.split()[:5])
    row = {"document": documents[1].id, "sample": "0", "target": " A"}
    row |= {"prompt": f"Claim: {documents[0].text}\nAnswer: A\n\nClaim: {asked}\nAnswer:"}
    (whole,) = with_contexts(lm, "retrieval", documents, {"part": [row]})["part"]
    (found,) = with_contexts(lm, "retrieval", documents, {"part": [row | {"query": asked}]})["part"]
    assert whole["context"] == documents[0].id, "or this tests nothing"
    assert found["context"] == documents[1].id
    assert found["prompt"].startswith(asked) and found["prompt"].endswith(f"\n\n{row['prompt']}")
