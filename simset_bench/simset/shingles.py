"""Documents as sets of word shingles."""

import re
import unicodedata
from functools import cache
from itertools import chain, groupby

from simset_bench.corpora.invisible import visible

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

# Every allocation records this name. Change it when a text gets other words.
NORMALISATION = "nfkc-casefold-words-4"


def word_shingles(text: str, words: int) -> set[str]:
    """Every run of `words` >= 1 consecutive words of a text, joined by single spaces; never an empty set.

    Words are those of `words_of`. A text with fewer words is one shingle. So is a text without words: its visible
    characters, without white space at the ends.
    """
    all_words = words_of(text)
    if len(all_words) < words:
        return {" ".join(all_words) or visible(text).strip()}
    return {" ".join(all_words[start : start + words]) for start in range(len(all_words) - words + 1)}


def words_of(text: str) -> list[str]:
    """The words of a text in order, after `fold`: runs of letters, digits, `_` and combining marks.

    In scripts without spaces between words, and in Korean, each character with its marks is a word, so word shingles
    are character shingles there.
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
    """The visible characters of a text in Unicode's compatibility composition (NFKC), case folded."""
    return unicodedata.normalize("NFKC", visible(text)).casefold()


@cache
def kind_of(char: str) -> int:
    """The kind of a character: SEPARATOR, LETTER (digits and `_` included), UNSPACED or MARK (combining)."""
    if unicodedata.category(char).startswith("M"):
        return MARK
    if not (char.isalnum() or char == "_"):
        return SEPARATOR
    return UNSPACED if any(first <= ord(char) <= last for first, last in UNSPACED_SCRIPTS) else LETTER


def jaccard(one: set[str], other: set[str]) -> float:
    """Jaccard similarity in [0, 1] of two sets, not both empty: their intersection's size over their union's."""
    return len(one & other) / len(one | other)
