import numpy as np
import pytest
from datasketch import MinHash
from hypothesis import given, settings
from hypothesis import strategies as st

from simset_bench.simset.signatures import SCHEME, mix64, signatures

SHINGLES = st.sets(st.text(min_size=1), min_size=1, max_size=8)
MASK = 2**64 - 1
GOLDEN_GAMMA = 0x9E3779B97F4A7C15
# Outputs of splitmix64 from seeds 0 and 1234567, as its published C code prints them.
PUBLISHED = {
    0: [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F, 0xF88BB8A8724C81EC, 0x1B39896A51A8749B],
    1234567: [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ],
}


@pytest.mark.parametrize("seed", PUBLISHED)
def test_mix64_is_the_finaliser_of_splitmix64(seed: int) -> None:
    states = [(seed + step * GOLDEN_GAMMA) & MASK for step in range(1, 6)]
    assert mix64(np.array(states, dtype=np.uint64)).tolist() == PUBLISHED[seed]


@given(st.integers(0, MASK))
def test_mix64_equals_whole_number_arithmetic(value: int) -> None:
    z = value
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    assert int(mix64(np.array([value], dtype=np.uint64))[0]) == z ^ (z >> 31)


def test_low_bits_of_mixed_values_are_uniform() -> None:
    signed = mix64(signatures([{f"w{number}"} for number in range(4000)], 4, seed=0))
    for modulus in (2, 7, 64):
        counts = np.bincount((signed % np.uint64(modulus)).ravel().astype(int), minlength=modulus)
        due = signed.size / modulus
        # Chi-square with modulus - 1 degrees of freedom, below its mean plus five standard deviations.
        assert ((counts - due) ** 2 / due).sum() < modulus - 1 + 5 * np.sqrt(2 * (modulus - 1))


@settings(max_examples=30)
@given(st.lists(SHINGLES, max_size=4), st.sampled_from([1, 16, 128]), st.integers(0, 2**32 - 1))
def test_signatures_are_datasketchs(sets: list[set[str]], slots: int, seed: int) -> None:
    sets = [{shingle.encode("utf-8", "ignore").decode() or "x" for shingle in shingles} for shingles in sets]
    found = signatures(sets, slots, seed)
    assert found.shape == (len(sets), slots)
    assert found.dtype == np.uint64
    for row, shingles in zip(found, sets, strict=True):
        reference = MinHash(num_perm=slots, seed=seed, scheme=SCHEME)
        for shingle in shingles:
            reference.update(shingle.encode())
        assert row.tolist() == reference.hashvalues.tolist()


@settings(max_examples=30)
@given(SHINGLES, SHINGLES)
def test_the_signature_of_a_union_is_the_lesser_value_in_each_slot(one: set[str], other: set[str]) -> None:
    first, second, both = signatures([one, other, one | other], 32, seed=3)
    assert np.array_equal(np.minimum(first, second), both)


def test_agreement_estimates_jaccard_and_seeds_differ() -> None:
    one = {f"w{number}" for number in range(300)}
    other = {f"w{number}" for number in range(100, 400)}
    due, slots = 200 / 400, 4096
    first, second = signatures([one, other], slots, seed=1)
    assert abs((first == second).mean() - due) < 5 * (due * (1 - due) / slots) ** 0.5
    assert not np.array_equal(first, signatures([one], slots, seed=2)[0])
