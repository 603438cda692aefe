"""The words of many texts at once: those of `shingles.words_of`, computed on the bytes of whole Arrow columns."""

import unicodedata
from bisect import bisect_left, bisect_right
from functools import cache
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from simset_bench.corpora.invisible import visible
from simset_bench.simset.shingles import LETTER, MARK, SEPARATOR, fold, kind_of, words_of

# Bytes handled together: few enough for a processor's cache.
_SLICE = 1 << 18
_SPACE = 0x20
_ASCII = bytes(
    ord(fold(chr(code))) if kind_of(chr(code)) == LETTER else _SPACE if code < 0x80 else code for code in [*range(0x80)]
) + bytes(range(0x80, 0x100))

_BLANKED = bytes(_SPACE if code in b"\t\n\v\f\r" else code for code in range(0x100))


def spaced_words(texts: pa.Array) -> pa.Array:
    """Each text's words joined by single spaces: `" ".join(words_of(text))` for each row of a string array.

    A text without words keeps its visible characters, with no-break spaces for the white space within and none at the
    ends, so that splitting at spaces gives one word.
    """
    texts = texts.cast(pa.large_string())
    sizes = pc.binary_length(texts).to_numpy(zero_copy_only=False)
    cuts = np.flatnonzero(np.diff(np.cumsum(sizes) // _SLICE)) + 1
    bounds = [0, *cuts.tolist(), len(texts)]
    parts = [_slice_words(texts.slice(a, b - a)) for a, b in pairwise(bounds)]
    return pa.chunked_array(parts, pa.large_string()).combine_chunks()


def _slice_words(texts: pa.Array) -> pa.Array:
    """Characters that fold byte for byte are folded together. Pieces of text with other characters, few in most
    languages, are handled one by one."""
    _, offsets, data = texts.buffers()
    bounds = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    ends = bounds[1:] - bounds[0]
    raw = bytes(memoryview(data)[bounds[0] : bounds[-1]]) if data is not None else b""
    codes = np.frombuffer(bytearray(raw.translate(_ASCII)), np.uint8)
    hard = _fold_in_place(codes)
    if len(hard):
        codes, ends = _with_pieces(raw, codes, ends, hard)
    words = _single_spaced(codes, ends)
    empty = pc.equal(pc.binary_length(words), 0)
    if not pc.any(empty).as_py():
        return words
    alone = [_spaced(text) for text in texts.filter(empty).to_pylist()]
    return pc.replace_with_mask(words, empty, pa.array(alone, pa.large_string()))


def _with_pieces(raw: bytes, codes: np.ndarray, ends: np.ndarray, hard: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Replace each piece between white space that contains one of the positions `hard` by its words.

    White space never combines with what follows, so a piece has the same words on its own. Returns new codes and ends.
    """
    blanked, folded, places, stops = raw.translate(_BLANKED), codes.tobytes(), hard.tolist(), ends.tolist()
    parts, lasts, grown, kept, turn = list[bytes](), list[int](), list[int](), 0, 0
    while turn < len(places):
        row = bisect_right(stops, places[turn])
        start = stops[row - 1] if row else 0
        first = max(start, blanked.rfind(b" ", start, places[turn]) + 1)
        last = blanked.find(b" ", places[turn], stops[row])
        last = stops[row] if last < 0 else last
        words = " ".join(words_of(raw[first:last].decode())).encode()
        parts += [folded[kept:first], words]
        lasts.append(last)
        grown.append(len(words) - (last - first))
        kept, turn = last, bisect_left(places, last, turn)
    joined = b"".join([*parts, folded[kept:]])
    grown_before = np.concatenate([[0], np.cumsum(grown)])
    return np.frombuffer(joined, np.uint8), ends + grown_before[np.searchsorted(lasts, ends, side="right")]


def _spaced(text: str) -> str:
    return " ".join(words_of(text)) or chr(0xA0).join(visible(text).split())


def _fold_in_place(codes: np.ndarray) -> np.ndarray:
    """Fold the characters beyond ASCII in UTF-8 `codes` that fold by themselves; returns where the others are."""
    places = np.flatnonzero(codes >= 0xC0)
    if not len(places):
        return places
    sizes = 2 + (codes[places] >= 0xE0) + (codes[places] >= 0xF0)
    packed = np.zeros(len(places), np.uint32)
    for step in range(4):
        within = step < sizes
        packed[within] |= codes[places[within] + step].astype(np.uint32) << np.uint32(8 * step)
    distinct, which = np.unique(packed, return_inverse=True)
    becomes = [_byte_for_byte(int(value)) for value in distinct]
    alone = np.array([value is not None for value in becomes])[which]
    values = np.array([value or 0 for value in becomes], np.uint32)[which]
    for step in range(4):
        within = alone & (step < sizes)
        codes[places[within] + step] = values[within] >> np.uint32(8 * step) & np.uint32(0xFF)
    return places[~alone]


@cache
def _byte_for_byte(packed: int) -> int | None:
    """The UTF-8 bytes that a character folds into, packed with the least significant byte first.

    None where the folding depends on neighbours or has another number of bytes, for characters that are words by
    themselves, and for invisible ones, which do not part words. Separators become spaces.
    """
    encoded = packed.to_bytes(4, "little").rstrip(b"\0")
    char = encoded.decode("utf-8")
    if unicodedata.combining(char) or kind_of(char) == MARK or char in _composing():
        return None
    becomes = fold(char)
    if not becomes:
        return None
    if all(kind_of(part) == SEPARATOR for part in becomes):
        return int.from_bytes(b" " * len(encoded), "little")
    if len(becomes) > 1 or kind_of(becomes) != LETTER or len(becomes.encode()) != len(encoded):
        return None
    return int.from_bytes(becomes.encode(), "little")


@cache
def _composing() -> frozenset[str]:
    """Characters that NFKC may combine with the one before them."""
    characters = {chr(code) for first, last in ((0x1161, 0x1175), (0x11A8, 0x11C2)) for code in range(first, last + 1)}
    for code in range(0x20000):
        parts = unicodedata.decomposition(chr(code)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            characters.add(chr(int(parts[1], 16)))
    return frozenset(characters)


def _single_spaced(codes: np.ndarray, ends: np.ndarray) -> pa.Array:
    """Strings of the bytes that end at `ends`, with single spaces within and none at their ends."""
    space = codes == _SPACE
    after_space = np.empty_like(space)
    after_space[1:] = space[:-1]
    starts = np.concatenate([[0], ends[:-1]])
    after_space[starts[starts < len(space)]] = True
    dropped = np.flatnonzero(space & after_space)
    kept = np.delete(codes, dropped)
    ends = ends - np.searchsorted(dropped, ends)
    last = ends[np.diff(ends, prepend=0) > 0] - 1
    trailing = last[kept[last] == _SPACE]
    offsets = np.concatenate([[0], ends - np.searchsorted(trailing, ends)])
    data = np.delete(kept, trailing)
    return pa.LargeStringArray.from_buffers(len(ends), pa.py_buffer(offsets.astype(np.int64)), pa.py_buffer(data))
