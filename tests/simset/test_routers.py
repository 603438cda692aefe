"""Routers against plain loops: BM25 by its formula, MinHash against the similarity that it estimates."""

import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from simset_bench.corpora.documents import Document
from simset_bench.corpora.load import load_corpus
from simset_bench.errors import RequestError
from simset_bench.simset.routers import MINHASH_SLOTS, ROUTERS, Find, check_bm25s, router
from simset_bench.simset.shingles import jaccard, words_of


@pytest.fixture(scope="module")
def documents(tiny_corpus: Path) -> list[Document]:
    """Four documents, no two of which are near copies."""
    return load_corpus(f"jsonl:{tiny_corpus}", num_docs=8)[::2]


def bm25_by_formula(texts: Sequence[list[str]], query: Sequence[str]) -> list[float]:
    """Lucene's BM25 of each text in float64, with k1 1.5 and b 0.75; a word counts as often as the query has it."""
    mean = sum(map(len, texts)) / len(texts)
    scores = []
    for words in texts:
        total = 0.0
        for term in query:
            having = sum(term in text for text in texts)
            idf = math.log(1 + (len(texts) - having + 0.5) / (having + 0.5))
            count = words.count(term)
            total += idf * count / (count + 1.5 * (1 - 0.75 + 0.75 * len(words) / mean))
        scores.append(total)
    return scores


def passages(documents: Sequence[Document]) -> list[str]:
    """Six words from every third place of each document."""
    words = [document.text.split() for document in documents]
    return [" ".join(text[start : start + 6]) for text in words for start in range(0, len(text) - 6, 3)]


def test_bm25_finds_the_document_of_the_best_score_by_the_formula(documents: list[Document]) -> None:
    find = router("bm25", documents)
    texts = [words_of(document.text) for document in documents]
    for passage in passages(documents):
        scores = bm25_by_formula(texts, words_of(passage))
        best = max(scores)
        found = find(passage)
        assert found is not None
        # bm25s sums six terms in float32.
        assert scores[documents.index(found)] >= best * (1 - 1e-5), passage


def test_minhash_finds_the_document_of_the_largest_similarity(documents: list[Document]) -> None:
    """Up to five standard errors of the difference of two estimates, each at most sqrt(J / slots)."""
    find = router("minhash", documents)
    sets = [set(words_of(document.text)) for document in documents]
    is_clear = 0
    for passage in passages(documents):
        exact = [jaccard(set(words_of(passage)), words) for words in sets]
        best, second = sorted(exact)[-1:-3:-1]
        found = find(passage)
        assert found is not None
        reach = 5 * math.sqrt(2 * best / MINHASH_SLOTS)
        assert exact[documents.index(found)] >= best - reach, passage
        is_clear += best - second > reach
    assert is_clear, "or any document would do"


@pytest.mark.parametrize("name", ROUTERS)
def test_a_router_finds_the_document_that_a_passage_is_from_and_nothing_without_its_words(
    name: str, documents: list[Document]
) -> None:
    find = router(name, documents)
    for document in documents:
        words = document.text.split()
        found = find(" ".join(words[: len(words) * 2 // 3]))
        assert found is not None and found.id == document.id
    for text in ("", " \n", "...", "xylophone"):
        assert find(text) is None, text


@pytest.mark.parametrize("name", ROUTERS)
def test_of_equal_documents_the_first_is_found_whatever_their_order(name: str, documents: list[Document]) -> None:
    twin = Document("twin", "", documents[1].text)
    for order in ([*documents, twin], [twin, *documents]):
        same = [document for document in order if document.text == twin.text]
        assert router(name, order)(twin.text) is same[0]


def test_a_text_is_looked_up_once(documents: list[Document], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def counting(known: Sequence[Document]) -> Find:
        return lambda text: asked.append(text) or known[0]

    monkeypatch.setitem(ROUTERS, "counting", counting)
    find = router("counting", documents)
    assert [find(text) for text in ("one", "two", "one")] == [documents[0]] * 3
    assert asked == ["one", "two"]


def test_bm25_without_its_library_names_what_needs_it_and_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simset_bench.simset.routers.find_spec", lambda _: None)
    with pytest.raises(RequestError, match=r"--recall routed needs bm25s: pip install 'simset-bench\[baselines\]'"):
        check_bm25s("--recall routed")
