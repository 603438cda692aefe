"""Documents as sets of word shingles."""

import re
import sys
import unicodedata
from functools import cache
from itertools import groupby


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
    """The words of a text in order, after NFKC and case folding: runs of letters, digits, `_` and their marks."""
    return _word().findall(unicodedata.normalize("NFKC", text).casefold())


def jaccard(one: set[str], other: set[str]) -> float:
    """Shared elements over all elements of two sets, of which at least one is not empty; in [0, 1]."""
    return len(one & other) / len(one | other)


@cache
def _word() -> re.Pattern[str]:
    # \w of Python leaves out combining marks (categories Mn, Mc, Me), so that it would cut Hindi or Thai words apart.
    marks = [code for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)).startswith("M")]
    runs = [[code for _, code in run] for _, run in groupby(enumerate(marks), lambda place: place[1] - place[0])]
    return re.compile("[\\w" + "".join(f"{chr(run[0])}-{chr(run[-1])}" for run in runs) + "]+")
