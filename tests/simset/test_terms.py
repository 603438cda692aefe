"""Allocation `tfidf`: entries follow a document's most specific terms."""

import math
from collections import Counter

import numpy as np
import pytest

from simset_bench.corpora.documents import Document
from simset_bench.corpora.load import CorpusOptions
from simset_bench.errors import RequestError
from simset_bench.simset.allocation import allocate
from simset_bench.simset.large.allocate import AllocationRequest, check_large
from simset_bench.simset.shingles import words_of
from simset_bench.simset.terms import entries_of_terms, specific_terms


def documents_of(*texts: str) -> list[Document]:
    return [Document(f"d{number}", "", text) for number, text in enumerate(texts)]


def test_terms_are_ranked_by_tfidf(tiny_documents: list[Document]) -> None:
    texts = [document.text for document in tiny_documents]
    counts = [Counter(words_of(text)) for text in texts]
    having = Counter(word for own in counts for word in own)
    for own, found in zip(counts, specific_terms(texts), strict=True):
        weight = {word: n * math.log((1 + len(texts)) / (1 + having[word])) for word, n in own.items()}
        assert found == sorted(own, key=lambda word: (-round(weight[word], 12), word))


def test_documents_share_the_entries_of_shared_specific_terms_and_not_of_common_ones() -> None:
    common = "the mill was built by the river in the year of the flood "
    texts = [common + "zinc quartz basalt gneiss", common + "zinc quartz basalt gneiss", common + "heron egret stork"]
    texts += [common + f"filler{number}a filler{number}b filler{number}c" for number in range(9)]
    made = allocate(documents_of(*texts), "tfidf", 1 << 16, 3, 0)
    assert np.array_equal(made.entries[0], made.entries[1])
    assert not set(made.entries[0].tolist()) & set(made.entries[2].tolist())
    # "the" comes four times, but in every document; of the others the first in the alphabet.
    expected = entries_of_terms(["basalt", "gneiss", "quartz"], 1 << 16, 3, 0)
    assert made.entries[0].tolist() == expected.tolist()


@pytest.mark.parametrize(("num_entries", "k"), [(8, 8), (64, 16), (1024, 32)])
def test_every_document_has_k_entries_however_short(num_entries: int, k: int) -> None:
    made = allocate(documents_of("one", "!?", "two words"), "tfidf", num_entries, k, 3)
    for own in made.entries:
        assert len(set(own.tolist())) == k
        assert own.dtype == np.uint32
        assert own.tolist() == sorted(own.tolist())
        assert int(own.max()) < num_entries


def test_the_seed_chooses_which_entries_terms_lead_to(tiny_documents: list[Document]) -> None:
    first, again, other = (allocate(tiny_documents, "tfidf", 512, 8, seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first.entries, again.entries, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(first.entries, other.entries, strict=True))


def test_a_corpus_out_of_memory_is_refused() -> None:
    with pytest.raises(RequestError, match="tfidf is for corpora that fit into memory"):
        check_large(AllocationRequest(CorpusOptions("vital"), "tfidf", 64, 8, 0))
