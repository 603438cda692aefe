"""Cuts a document that is too long into segments, and loses nothing."""

import re
import unicodedata

from transformers import PreTrainedTokenizerBase

from simset_bench.errors import RequestError

# Characters looked at for one segment, per token: above what tokenizers put into one on average.
_WINDOW = 8


def segments(text: str, tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> list[str]:
    """Consecutive pieces of `text`, each of which by itself is at most `max_tokens` tokens (specials not counted).

    Cuts fall at white space, which is dropped, where there is some in the later half of a piece, and otherwise at the
    end of a token: not before a combining mark, unless a character has too many of them for one piece. The last two
    pieces are of about equal length where white space allows it.
    Time is linear in the text.
    Raises RequestError for `max_tokens` below 2, and for a character that is more tokens than that by itself.
    """
    if max_tokens < 2:
        raise RequestError(f"--max-tokens {max_tokens}: must be at least 2")
    text, pieces = text.rstrip(), []
    start = _skip_white_space(text, 0)
    while start < len(text):
        # A window at a time: tokenising the whole rest for every piece would take quadratic time.
        end = min(len(text), start + max_tokens * _WINDOW)
        cut = start + _cut(text[start:end], text[end : end + 1], tokenizer, max_tokens)
        pieces.append(text[start:cut].rstrip())
        start = _skip_white_space(text, cut)
    return pieces


def _skip_white_space(text: str, start: int) -> int:
    while start < len(text) and text[start].isspace():
        start += 1
    return start


def _cut(window: str, following: str, tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> int:
    """How many characters of `window`, which `following` comes after, make the next piece."""
    ends = _token_ends(window, tokenizer)
    if len(ends) <= max_tokens:
        ends[-1:] = [len(window)]
    # One token is left for the next piece at least, so that no piece of a single token trails behind.
    allowed = max_tokens - 1 if len(ends) == max_tokens + 1 and not following else max_tokens
    if not following and max_tokens < len(ends) < 2 * max_tokens:
        # The last two pieces share the rest: a tail of a few words has no context, and only pads a batch.
        half = _at_white_space(window, ends[len(ends) // 2 - 1])
        if window[half : half + 1].isspace() and len(_token_ends(window[:half].rstrip(), tokenizer)) <= max_tokens:
            return half
    # A piece may be more tokens alone than it is inside the text: shrink until it fits, in the end by characters.
    shorter = [*ends[:allowed][::-1], *range(ends[0] - 1, 0, -1)]
    for end in shorter:
        cut = _at_white_space(window + following, end) if end else 0
        if cut and len(_token_ends(window[:cut].rstrip(), tokenizer)) <= max_tokens:
            return cut
    raise RequestError(
        f"--max-tokens {max_tokens}: the character {window[0]!r} alone is "
        f"{len(_token_ends(window[0], tokenizer))} tokens of this model's"
    )


def _token_ends(text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True).offset_mapping
    return [end for _, end in offsets]


def _at_white_space(text: str, cut: int) -> int:
    """`cut`, or the last white space before it if that is in the later half, or before the character marked there."""
    if cut == len(text) or text[cut].isspace():
        return cut
    spaces = [match.start() for match in re.finditer(r"\s", text[:cut])]
    if spaces and spaces[-1] >= max(1, cut // 2):
        return spaces[-1]
    marked = cut
    while marked and unicodedata.category(text[marked]).startswith("M"):
        marked -= 1
    return marked or cut
