"""Numbers that depend on nothing but a key: the same in any order, in any process, on any machine."""

import hashlib
import struct

_MASK = (1 << 64) - 1
_ROUNDS = 4


def draws(count: int, *key: int | str) -> tuple[int, ...]:
    """`count` numbers in [0, 2^32), uniform and independent over keys (BLAKE2b of the key)."""
    text = "/".join(map(str, key))
    blocks = [hashlib.blake2b(f"{text}/{block}".encode()).digest() for block in range(-(-count // 16))]
    return struct.unpack(f"<{count}I", b"".join(blocks)[: 4 * count])


def shuffled(size: int, *key: int | str) -> list[int]:
    """The numbers from 0 to before `size` in an order drawn for the key."""
    order = draws(size, *key)
    return sorted(range(size), key=order.__getitem__)


def permuted(number: int, size: int, seed: int) -> int:
    """Where a permutation of [0, `size`) drawn for `seed` puts `number`: different numbers go to different places.

    A Feistel network of four rounds over the next even power of two, walked until it lands below `size` (Black and
    Rogaway, "Ciphers with arbitrary finite domains", 2002).
    """
    half = max(1, -(-(size - 1).bit_length() // 2))
    low = (1 << half) - 1
    while True:
        left, right = number >> half, number & low
        for turn in range(_ROUNDS):
            left, right = right, left ^ (_mix64(_mix64(seed * _ROUNDS + turn) ^ right) & low)
        number = left << half | right
        if number < size:
            return number


def _mix64(number: int) -> int:
    """The finaliser of splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014)."""
    number = (number + 0x9E3779B97F4A7C15) & _MASK
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & _MASK
    return number ^ (number >> 31)
