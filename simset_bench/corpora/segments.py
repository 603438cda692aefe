"""Cutting a document that is too long into segments, with nothing lost."""

import re
import unicodedata

from transformers import PreTrainedTokenizerBase

from simset_bench.errors import RequestError

# Characters looked at for one segment, per token: above what tokenizers put into one on average.
_WINDOW = 8


def segments(text: str, tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> list[str]:
    """Consecutive pieces of `text`, each of which by itself is at most `max_tokens` tokens (specials not counted).

    Cuts fall at white space, which is dropped, where there is some in the later half of a piece, and otherwise
    at the end of a token, never before a combining mark. Time is linear in the text.
    Raises RequestError for `max_tokens` below 2.
    """
    if max_tokens < 2:
        raise RequestError(f"--max-tokens {max_tokens}: must be at least 2")
    pieces = []
    start = _skip_white_space(text, 0)
    while start < len(text):
        # Windows, not the whole rest: tokenising what is left for every piece would be quadratic.
        window = text[start : start + max_tokens * _WINDOW]
        cut = _cut(window, tokenizer, max_tokens)
        if cut == len(window) and start + cut < len(text):
            cut = _at_white_space(window + text[start + cut], cut)
        pieces.append(window[:cut].rstrip())
        start = _skip_white_space(text, start + cut)
    return pieces


def _skip_white_space(text: str, start: int) -> int:
    while start < len(text) and text[start].isspace():
        start += 1
    return start


def _cut(window: str, tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> int:
    """How many characters of `window` make the next piece."""
    allowed = max_tokens
    while True:
        ends = _token_ends(window, tokenizer)
        if len(ends) <= max_tokens:
            return len(window)
        # One token is left for the next piece at least, so that no piece of a single token trails behind.
        spare = 1 if len(ends) == max_tokens + 1 else 0
        cut = _at_white_space(window, max(1, ends[allowed - 1 - spare]))
        # A piece may tokenise otherwise alone than inside the text: shrink until it fits.
        if len(_token_ends(window[:cut].rstrip(), tokenizer)) <= max_tokens or allowed <= 2:
            return cut
        allowed -= 1


def _token_ends(text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True).offset_mapping
    return [end for _, end in offsets]


def _at_white_space(window: str, cut: int) -> int:
    """`cut`, or the last white space before it if that is in the later half."""
    if cut >= len(window) or window[cut].isspace():
        return cut
    spaces = [match.start() for match in re.finditer(r"\s", window[:cut])]
    if spaces and spaces[-1] >= max(1, cut // 2):
        return spaces[-1]
    while cut > 1 and unicodedata.combining(window[cut]):
        cut -= 1
    return cut
