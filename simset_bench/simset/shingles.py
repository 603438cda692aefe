"""Documents as sets of word shingles."""

import re
import unicodedata
from functools import cache
from itertools import chain, groupby

# Scripts written without spaces between words, and Korean, whose spaces part phrases: each character is a word.
UNSPACED_SCRIPTS = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1100, 0x11FF),  # Hangul Jamo
    (0x1780, 0x17FF),  # Khmer
    (0x3005, 0x3007),  # ideographic iteration mark, closing mark, zero
    (0x3040, 0x31FF),  # Hiragana, Katakana, Bopomofo, Hangul compatibility Jamo
    (0x3400, 0x4DBF),  # Han, extension A
    (0x4E00, 0x9FFF),  # Han
    (0xA960, 0xA97F),  # Hangul Jamo, extended A
    (0xAC00, 0xD7FF),  # Hangul syllables
    (0xF900, 0xFAFF),  # Han, compatibility
    (0x20000, 0x3FFFF),  # Han, supplementary planes
)

SEPARATOR, LETTER, UNSPACED, MARK = range(4)
_WORD = re.compile(r"\w+")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")

# Recorded with every allocation; raise it when a text's words change.
NORMALISATION = "nfkc-casefold-words-2"


def word_shingles(text: str, words: int) -> set[str]:
    """Every run of `words` >= 1 consecutive words of a text, joined by single spaces; never an empty set.

    Words are those of `words_of`. A text of fewer words is one shingle, and so is a text without any word, by itself
    without the white space around it.
    """
    found = words_of(text)
    if len(found) < words:
        return {" ".join(found) or text.strip()}
    return {" ".join(found[start : start + words]) for start in range(len(found) - words + 1)}


def words_of(text: str) -> list[str]:
    """The words of a text in order, after NFKC and case folding: runs of letters, digits, `_` and their marks.

    In scripts without spaces between words, and in Korean, each character with its marks is a word, so that word
    shingles are character shingles there.
    """
    folded = fold(text)
    if folded.isascii() or all(kind_of(char) in (SEPARATOR, LETTER) for char in set(_NOT_ASCII.findall(folded))):
        return _WORD.findall(folded)
    words = list[str]()
    for is_ascii, pieces in groupby(folded.split(), str.isascii):
        if is_ascii:
            words += _WORD.findall(" ".join(pieces))
        else:
            words += chain.from_iterable(map(_words_of_piece, pieces))
    return words


def _words_of_piece(piece: str) -> list[str]:
    words, unspaced = [""], False
    for char in piece:
        kind = kind_of(char)
        if kind in (SEPARATOR, UNSPACED) or (kind == LETTER and unspaced):
            words.append("")
        if kind != SEPARATOR:
            words[-1] += char
        unspaced = kind == UNSPACED or (kind == MARK and unspaced)
    return [word for word in words if word]


def fold(text: str) -> str:
    """A text in Unicode's compatibility composition (NFKC), its case folded."""
    return unicodedata.normalize("NFKC", text).casefold()


@cache
def kind_of(char: str) -> int:
    """What a character is to words: SEPARATOR, LETTER (digits and `_` too), UNSPACED or MARK (combining)."""
    if unicodedata.category(char).startswith("M"):
        return MARK
    if not (char.isalnum() or char == "_"):
        return SEPARATOR
    return UNSPACED if any(first <= ord(char) <= last for first, last in UNSPACED_SCRIPTS) else LETTER


def jaccard(one: set[str], other: set[str]) -> float:
    """Shared elements over all elements of two sets, of which at least one is not empty; in [0, 1]."""
    return len(one & other) / len(one | other)
