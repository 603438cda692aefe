"""MinHash signatures, by datasketch with its scheme pinned."""

from collections.abc import Iterable

import numpy as np

# Signatures of different schemes cannot be compared. Allocation files record this name, and others are refused.
SCHEME = "affine32"
# The scheme of signatures that Daft computes, see `large/sign.py`.
DAFT_SCHEME = "daft-xxhash3_64"

# datasketch draws its hash functions from a generator that takes 32 bits.
SEED_LIMIT = 1 << 32


def signatures(shingle_sets: Iterable[set[str]], num_slots: int, seed: int) -> np.ndarray:
    """MinHash signatures (sets, num_slots) uint64: in slot j the least value of hash function j over the set.

    Two sets agree in a slot with a probability equal to their Jaccard similarity (Broder 1997, "On the resemblance
    and containment of documents"), and the signature of a union is the elementwise minimum. `seed`, from 0 to below
    2^32, chooses the hash functions. Values lie in [0, 2^32), the range of the scheme.
    """
    from datasketch import MinHash

    encoded = ([shingle.encode("utf-8", "surrogatepass") for shingle in shingles] for shingles in shingle_sets)
    sketches = MinHash.generator(encoded, num_perm=num_slots, seed=seed, scheme=SCHEME)
    rows = [sketch.hashvalues.astype(np.uint64) for sketch in sketches]
    return np.stack(rows) if rows else np.empty((0, num_slots), np.uint64)


def mix64(values: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64 on each value: uint64 -> uint64 of the same shape, a bijection.

    Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators", with the constants of Stafford's
    variant 13. A MinHash value is the least of many, so its low bits are not uniform; those of its mix are.
    """
    mixed = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
