import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from simset_bench.corpora.documents import Document
from simset_bench.errors import RequestError
from simset_bench.simset.allocation import Allocation, allocate
from simset_bench.simset.signatures import SEED_LIMIT, mix64, signatures
from simset_bench.simset.strategies import PARTITIONS_BY, STRATEGIES, TooManyDocuments

MakeDocuments = Callable[[Sequence[str]], list[Document]]
Plant = Callable[[int, int, int], list[Document]]
SIMSETS = ["simset1", "simset2", "simset3"]
FIVE_SIGMA = 5.0


def overlaps_of_pairs(allocation: Allocation, pairs: int) -> np.ndarray:
    """Share of entries that the two documents of each planted pair have in common."""
    masks = allocation.mask(range(2 * pairs)).reshape(pairs, 2, -1)
    k = len(allocation.entries[0])
    return (masks[:, 0] & masks[:, 1]).sum(axis=1) / k


def plain_jaccard(one: str, other: str, size: int) -> Fraction:
    """Jaccard similarity of n-grams of white-space words, which planted texts are made of."""
    sets = []
    for words in (one.split(), other.split()):
        sets.append({tuple(words[start : start + size]) for start in range(len(words) - size + 1)} or {tuple(words)})
    return Fraction(len(sets[0] & sets[1]), len(sets[0] | sets[1]))


@settings(max_examples=30)
@given(
    strategy=st.sampled_from(SIMSETS),
    shared=st.integers(0, 60),
    own=st.integers(0, 40),
    shape=st.sampled_from([(8, 64), (32, 1024), (64, 4096), (64, 128), (16, 16)]),
    seed=st.integers(0, SEED_LIMIT - 1),
)
def test_overlap_estimates_jaccard(
    planted_pairs: Plant, strategy: str, shared: int, own: int, shape: tuple[int, int], seed: int
) -> None:
    pairs, (k, num_entries) = 60, shape
    documents = planted_pairs(pairs, shared, max(own, 1 if shared == 0 else 0))
    jaccard = plain_jaccard(documents[0].text, documents[1].text, int(strategy[-1]))
    due = float(jaccard + (1 - jaccard) * Fraction(k, num_entries))
    overlap = overlaps_of_pairs(allocate(documents, strategy, num_entries, k, seed), pairs).mean()
    # Slots are independent draws: a binomial share of pairs x k of them.
    assert abs(overlap - due) <= FIVE_SIGMA * math.sqrt(due * (1 - due) / (pairs * k)) + 1e-12


@pytest.mark.parametrize(("shared", "own", "jaccard"), [(0, 60, 0.0), (20, 40, 0.2), (40, 20, 0.5), (64, 8, 0.8)])
def test_overlap_meets_the_figures_of_the_method(planted_pairs: Plant, shared: int, own: int, jaccard: float) -> None:
    pairs, k, num_entries = 300, 64, 4096
    documents = planted_pairs(pairs, shared, own)
    overlap = overlaps_of_pairs(allocate(documents, "simset1", num_entries, k, 0), pairs).mean()
    due = jaccard + (1 - jaccard) * k / num_entries
    assert abs(overlap - due) < FIVE_SIGMA * math.sqrt(due * (1 - due) / (pairs * k))
    # The band is narrow enough to tell the due value from what unmixed signatures gave (0.033 for 0.0156).
    assert FIVE_SIGMA * math.sqrt(due * (1 - due) / (pairs * k)) < 0.018 + 0.01 * jaccard


@pytest.mark.parametrize(("shared", "own"), [(20, 40), (40, 20), (64, 8)])
def test_overlap_of_single_pairs_lies_within_its_confidence_band(planted_pairs: Plant, shared: int, own: int) -> None:
    pairs, k, num_entries = 500, 64, 1024
    documents = planted_pairs(pairs, shared, own)
    jaccard = shared / (shared + 2 * own)
    chance = jaccard + (1 - jaccard) * k / num_entries
    slots = overlaps_of_pairs(allocate(documents, "simset1", num_entries, k, 7), pairs) * k
    low, high = stats.binom.interval(0.95, k, chance)
    coverage = stats.binom.cdf(high, k, chance) - stats.binom.cdf(low - 1, k, chance)
    inside = ((slots >= low) & (slots <= high)).mean()
    assert abs(inside - coverage) < FIVE_SIGMA * math.sqrt(coverage * (1 - coverage) / pairs)


def test_similarity_can_be_read_back_from_overlap(planted_pairs: Plant) -> None:
    pairs, k, num_entries = 200, 64, 512
    for shared, own in [(10, 45), (30, 30), (80, 5)]:
        overlap = overlaps_of_pairs(allocate(planted_pairs(pairs, shared, own), "simset1", num_entries, k, 1), pairs)
        estimates = (overlap - k / num_entries) / (1 - k / num_entries)
        error = estimates.std(ddof=1) / math.sqrt(pairs)
        assert abs(estimates.mean() - shared / (shared + 2 * own)) < FIVE_SIGMA * error


@settings(max_examples=25)
@given(st.sampled_from(["random", *SIMSETS]), st.integers(1, 24), st.integers(1, 12), st.integers(0, 99), st.data())
def test_every_mask_has_k_ones(
    planted_pairs: Plant, strategy: str, k: int, blocks: int, seed: int, data: st.DataObject
) -> None:
    documents = planted_pairs(3, 5, 5)
    num_entries = k * blocks if strategy != "random" else k * blocks + data.draw(st.integers(0, 7))
    allocation = allocate(documents, strategy, num_entries, k, seed)
    masks = allocation.mask(range(len(documents)))
    assert masks.shape == (6, num_entries)
    assert masks.dtype == bool
    assert (masks.sum(axis=1) == k).all()
    for mask, entries in zip(masks, allocation.entries, strict=True):
        assert entries.dtype == np.uint32
        assert entries.tolist() == np.flatnonzero(mask).tolist()


def test_masks_come_in_the_order_asked_for(tiny_documents: list[Document]) -> None:
    allocation = allocate(tiny_documents, "random", 64, 8, 0)
    masks = allocation.mask([5, 0, 5])
    assert [np.flatnonzero(mask).tolist() for mask in masks] == [allocation.entries[d].tolist() for d in (5, 0, 5)]


def test_simset_picks_one_entry_of_each_block_by_the_mixed_signature(tiny_documents: list[Document]) -> None:
    k, num_entries, seed = 16, 256, 11
    allocation = allocate(tiny_documents, "simset1", num_entries, k, seed)
    words = [{word.strip(".,").casefold() for word in document.text.split()} for document in tiny_documents]
    signed = signatures(words, k, seed)
    assert allocation.signatures is not None
    expected = mix64(signed) % np.uint64(num_entries // k) + np.arange(k, dtype=np.uint64) * np.uint64(num_entries // k)
    plain = [
        d
        for d, document in enumerate(tiny_documents)
        if document.text.replace(".", "").replace(",", "").replace(" ", "").isalnum()
    ]
    assert len(plain) > 10
    for document in plain:
        assert allocation.signatures[document].tolist() == signed[document].tolist()
        assert allocation.entries[document].tolist() == expected[document].tolist()


def test_none_gives_every_entry_to_every_document(tiny_documents: list[Document]) -> None:
    allocation = allocate(tiny_documents, "none", 40, 8, 0)
    assert allocation.mask(range(24)).all()


@pytest.mark.parametrize("partition_by", PARTITIONS_BY)
@pytest.mark.parametrize("num_entries", [24, 25, 100, 1024])
def test_partitions_are_disjoint_and_contiguous(
    tiny_documents: list[Document], num_entries: int, partition_by: str
) -> None:
    allocation = allocate(tiny_documents, "partitioned", num_entries, 1, 0, partition_by=partition_by)
    masks = allocation.mask(range(24))
    assert masks.sum(axis=0).max() == 1
    assert masks.any(axis=1).all()
    for entries in allocation.entries:
        assert (np.diff(entries.astype(int)) == 1).all()


@settings(max_examples=60)
@given(st.integers(1, 12), st.integers(1, 40), st.integers(0, 500))
def test_partitions_by_size_have_k_entries_each_or_are_refused(
    documents_of: MakeDocuments, count: int, k: int, num_entries: int
) -> None:
    documents = documents_of([f"text {number}" for number in range(count)])
    num_entries = max(num_entries, k)
    if count * k > num_entries:
        with pytest.raises(TooManyDocuments, match=f"{count} documents .* need {count * k} entries, and --entries is"):
            allocate(documents, "partitioned", num_entries, k, 0)
        return
    entries = [own.tolist() for own in allocate(documents, "partitioned", num_entries, k, 0).entries]
    assert entries == [list(range(place * k, place * k + k)) for place in range(count)]


@pytest.mark.parametrize("num_entries", [32, 47, 100, 1024])
def test_partitions_of_the_whole_are_equal_and_leave_less_than_one_entry_a_document(
    tiny_documents: list[Document], num_entries: int
) -> None:
    allocation = allocate(tiny_documents, "partitioned", num_entries, 32, 0, partition_by="whole")
    assert {len(entries) for entries in allocation.entries} == {num_entries // 24}


@settings(max_examples=60)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=12), st.integers(0, 500))
def test_partitions_by_length_are_proportional_and_use_every_entry_up(
    documents_of: MakeDocuments, lengths: list[int], spare: int
) -> None:
    num_entries = len(lengths) + spare
    documents = documents_of([" ".join(["word"] * length) for length in lengths])
    sizes = [len(e) for e in allocate(documents, "partitioned", num_entries, 1, 0, partition_by="length").entries]
    assert sum(sizes) == num_entries
    assert min(sizes) >= 1
    shares = [Fraction(length * num_entries, sum(lengths)) for length in lengths]
    if min(shares) >= 1:
        # The quota rule, which Hamilton's method keeps.
        assert all(math.floor(share) <= size <= math.ceil(share) for size, share in zip(sizes, shares, strict=True))
    for one, size in zip(lengths, sizes, strict=True):
        assert all(size >= other for length, other in zip(lengths, sizes, strict=True) if length < one)


@pytest.mark.parametrize("strategy", ["random", *SIMSETS])
def test_entries_do_not_depend_on_the_documents_that_follow(tiny_documents: list[Document], strategy: str) -> None:
    every = allocate(tiny_documents, strategy, 256, 16, 3)
    first = allocate(tiny_documents[:7], strategy, 256, 16, 3)
    assert [entries.tolist() for entries in first.entries] == [entries.tolist() for entries in every.entries[:7]]


def test_simset_does_not_depend_on_the_order_of_documents(tiny_documents: list[Document]) -> None:
    forward = allocate(tiny_documents, "simset2", 256, 16, 3)
    backward = allocate(tiny_documents[::-1], "simset2", 256, 16, 3)
    assert [e.tolist() for e in forward.entries] == [e.tolist() for e in backward.entries[::-1]]


@pytest.mark.parametrize("strategy", ["random", *SIMSETS])
def test_the_seed_alone_chooses_the_draw(tiny_documents: list[Document], strategy: str) -> None:
    one, again, other = (allocate(tiny_documents, strategy, 256, 16, seed) for seed in (4, 4, 5))
    assert np.array_equal(one.mask(range(24)), again.mask(range(24)))
    assert not np.array_equal(one.mask(range(24)), other.mask(range(24)))


def test_random_entries_are_uniform_and_independent(documents_of: MakeDocuments) -> None:
    documents, k, num_entries = 2000, 8, 64
    masks = allocate(documents_of(["same text"] * documents), "random", num_entries, k, 0).mask(range(documents))
    loads, due = masks.sum(axis=0), documents * k / num_entries
    spread = documents * (k / num_entries) * (1 - k / num_entries)
    assert (np.abs(loads - due) < FIVE_SIGMA * math.sqrt(spread)).all()
    overlap = (masks[0::2] & masks[1::2]).sum(axis=1)
    reference = stats.hypergeom(num_entries, k, k)
    assert abs(overlap.mean() - reference.mean()) < FIVE_SIGMA * reference.std() / math.sqrt(documents / 2)


@pytest.mark.parametrize("strategy", list(STRATEGIES))
def test_near_copies_are_merged_and_share_their_entries(tiny_documents: list[Document], strategy: str) -> None:
    allocation = allocate(tiny_documents, strategy, 252, 14, 0, num_clusters=18)
    by_id = {identity: d for d, identity in enumerate(allocation.document_ids)}
    copies = [identity for identity in by_id if identity.endswith("-copy")]
    assert len(copies) == 6
    for copy in copies:
        one, other = by_id[copy.removesuffix("-copy")], by_id[copy]
        assert allocation.clusters[one] == allocation.clusters[other]
        assert allocation.entries[one].tolist() == allocation.entries[other].tolist()
    assert len(set(allocation.clusters.tolist())) == 18
    assert 0.5 < (allocation.merge_similarity or 0) < 1


def test_a_cluster_has_the_entries_of_its_documents_texts_together(tiny_documents: list[Document]) -> None:
    allocation = allocate(tiny_documents, "simset2", 256, 16, 0, num_clusters=18)
    alone = allocate(tiny_documents, "simset2", 256, 16, 0)
    assert allocation.signatures is not None
    assert alone.signatures is not None
    for cluster in range(18):
        members = np.flatnonzero(allocation.clusters == cluster)
        for member in members:
            assert allocation.signatures[member].tolist() == alone.signatures[members].min(axis=0).tolist()


def test_a_partition_by_length_counts_a_clusters_words_together(documents_of: MakeDocuments) -> None:
    same = "a lighthouse stood on the rock and burned oil all night long"
    documents = documents_of([same, same, "herring boats " * 6])
    allocation = allocate(documents, "partitioned", 36, 1, 0, num_clusters=2, partition_by="length")
    assert [len(entries) for entries in allocation.entries] == [24, 24, 12]


@pytest.mark.parametrize("num_clusters", [None, 24])
def test_a_cluster_a_document_merges_nothing(tiny_documents: list[Document], num_clusters: int | None) -> None:
    allocation = allocate(tiny_documents, "simset2", 256, 16, 0, num_clusters=num_clusters)
    assert allocation.clusters.tolist() == list(range(24))
    assert allocation.merge_similarity is None


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (
            {"strategy": "simset4"},
            r"unknown allocation 'simset4' \(did you mean 'simset1'\?\): choose from none, .*simset3",
        ),
        ({"num_entries": 1000}, "--entries 1000 is not divisible by --entries-per-doc 32, .*use 992 or 1024"),
        ({"num_entries": 16}, "--entries 16 are fewer than --entries-per-doc 32"),
        ({"strategy": "random", "num_entries": 31}, "--entries 31 are fewer than --entries-per-doc 32"),
        (
            {"strategy": "partitioned", "num_entries": 23, "entries_per_doc": 1, "partition_by": "whole"},
            "--entries 23: partitions of 24 documents or clusters would be smaller than one entry; use --entries 24",
        ),
        (
            {"strategy": "partitioned", "num_entries": 23, "entries_per_doc": 1, "partition_by": "length"},
            "smaller than one entry",
        ),
        (
            {"strategy": "partitioned", "num_entries": 1024, "entries_per_doc": 43},
            "24 documents or clusters with --entries-per-doc 43 need 1032 entries, and --entries is 1024",
        ),
        (
            {"strategy": "partitioned", "num_entries": 9, "entries_per_doc": 2, "num_clusters": 5},
            "5 documents or clusters with --entries-per-doc 2 need 10 entries",
        ),
        ({"num_entries": 0}, "--entries 0: must be at least 1"),
        ({"entries_per_doc": 0}, "--entries-per-doc 0: must be at least 1"),
        ({"entries_per_doc": -4}, "--entries-per-doc -4: must be at least 1"),
        ({"num_clusters": 25}, "--num-clusters 25: more clusters than documents, of which there are 24"),
        ({"num_clusters": 0}, "--num-clusters 0: must be at least 1"),
        ({"partition_by": "lenght"}, r"unknown --partition-by 'lenght' \(did you mean 'length'\?\)"),
        ({"seed": -1}, "--mem-seed -1: must be from 0 to 4294967295"),
        ({"seed": SEED_LIMIT}, "--mem-seed 4294967296: must be from 0 to 4294967295"),
    ],
)
def test_numbers_that_do_not_fit_together_are_refused(
    tiny_documents: list[Document], options: dict[str, object], why: str
) -> None:
    fine = {"strategy": "simset2", "num_entries": 1024, "entries_per_doc": 32, "seed": 0}
    with pytest.raises(RequestError, match=why):
        allocate(tiny_documents, **(fine | options))  # type: ignore[arg-type]


def test_no_documents_and_duplicate_ids_are_refused(tiny_documents: list[Document]) -> None:
    with pytest.raises(RequestError, match="no documents"):
        allocate([], "random", 64, 8, 0)
    with pytest.raises(RequestError, match="duplicate document id 'skarvik'"):
        allocate([*tiny_documents, tiny_documents[0]], "random", 64, 8, 0)
