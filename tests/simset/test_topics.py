"""Clusters by topic: balanced, none empty, and the same whatever the threads and batches."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from simset_bench.corpora.load import load_corpus
from simset_bench.simset import topics as module
from simset_bench.simset.shingles import words_of
from simset_bench.simset.topics import DIMENSIONS, topic_vectors, topics


@pytest.fixture(scope="module")
def people() -> np.ndarray:
    """Vectors of 200 people in families of 20, which share most of their wordings; families follow one another."""
    documents = load_corpus("people:count=200,family=20,wording=0.9")
    return topic_vectors([" ".join(words_of(document.text)) for document in documents], 0)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 120), st.data(), st.sampled_from([0.0, 0.5, 1.0]))
def test_no_cluster_is_empty_or_above_twice_the_mean(documents: int, data: st.DataObject, alike: float) -> None:
    num_clusters = data.draw(st.integers(1, documents))
    generator = np.random.default_rng(documents)
    vectors = generator.integers(-4096, 4097, size=(documents, DIMENSIONS)).astype(np.int16)
    vectors[: int(alike * documents)] = vectors[0]
    found = topics(vectors, num_clusters, 0)
    sizes = np.bincount(found.labels)
    assert len(sizes) == num_clusters == found.count
    assert sizes.min() >= 1
    assert sizes.max() <= np.ceil(2 * documents / num_clusters)
    _, firsts = np.unique(found.labels, return_index=True)
    assert (np.diff(firsts) > 0).all()
    assert found.merge_similarity is None


def test_kin_come_together(people: np.ndarray) -> None:
    """A family's commonest topic holds most of it, where chance would put about a fifth there."""
    labels = topics(people, 10, 0).labels
    together = [np.bincount(labels[start : start + 20]).max() for start in range(0, 200, 20)]
    assert sum(together) / 200 > 0.75


def test_neither_threads_nor_batches_change_a_label(people: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    with threadpool_limits(1):
        one = topics(people, 30, 0).labels
    with threadpool_limits(4):
        four = topics(people, 30, 0).labels
    monkeypatch.setattr(module, "_SCORES_TOGETHER", 1500)
    in_batches = topics(people, 30, 0).labels
    assert one.tolist() == four.tolist() == in_batches.tolist()
    assert topics(people, 30, 1).labels.tolist() != one.tolist()


def test_a_vector_follows_from_its_text_and_the_seed_alone() -> None:
    texts = ["the cat sat on the mat", "a dog", "x", "the cat sat on the mat", "", "물 불 흙"]
    whole = topic_vectors(texts, 3)
    assert (whole == np.concatenate([topic_vectors([text], 3) for text in texts])).all()
    assert (whole[0] == whole[3]).all()
    assert (whole[0] != topic_vectors(texts[:1], 4)[0]).any()


def test_vectors_keep_the_cosines_of_words_and_word_pairs() -> None:
    """Projections to D dimensions keep a cosine to within about 1 / sqrt(D), by Johnson and Lindenstrauss."""
    generator = np.random.default_rng(0)
    vocabulary = [f"w{number}" for number in range(4000)]
    texts = [" ".join(generator.permutation(vocabulary)[:100]) for _ in range(40)]
    texts = [text for one in texts for text in (one, " ".join([*one.split(" ")[:50], *texts[0].split(" ")[:50]]))]
    features = [{*words, *pairwise(words)} for words in (text.split(" ") for text in texts)]
    due = np.array([[len(a & b) / np.sqrt(len(a) * len(b)) for b in features] for a in features])
    vectors = topic_vectors(texts, 0).astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    error = vectors @ vectors.T - due
    apart = ~np.eye(len(texts), dtype=bool)
    assert np.sqrt((error[apart] ** 2).mean()) < 1.1 / np.sqrt(DIMENSIONS)
    assert abs(error[apart].mean()) < 0.02
