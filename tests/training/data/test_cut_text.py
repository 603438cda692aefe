import re
import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from simset_bench.errors import RequestError
from simset_bench.training.data.cut_text import segments

PROSE = (
    "Keepers kept records of ships and storms. The lighthouse keeper's daughter wrote letters about herring.\n\n"
    "Lighthouses were painted white; the price of oil was written in brass.\n"
)
# What real text has: words, numbers, CJK without spaces, emoji and their joined sequences, combining marks in both
# orders, scripts whose vowels are marks, white space of several kinds, control characters.
_FRAGMENTS = st.sampled_from(
    [
        *(
            "lighthouse",
            " keeper",
            "'s",
            " 1889",
            ", ",
            ".",
            "-",
            "Öl",
            "東京都",
            "灯台の光",
            "明治",
            "हिन्दी",
            "प्रकाश",
            "ไทย",
        ),
        *("🦄", "👩‍👩‍👧‍👦", "👍🏽", "🇨🇭", "e\u0301", "a\u0323\u0302", "\u0301", "ﬁ", "ß", "İ", "\u200b", "\u00ad"),
        *(" ", "  ", "\n", "\n\n", "\t", "\u00a0", "\u3000", "\u2028", "\x00", "\x1f", "supercalifragilistic"),
    ]
)
TEXTS = st.one_of(st.lists(_FRAGMENTS, max_size=60).map("".join), st.text(max_size=80))
LAW = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


def count_tokens(text: str, tokenizer: PreTrainedTokenizerFast) -> int:
    return len(tokenizer(text, add_special_tokens=False).input_ids)


@LAW
@given(text=TEXTS, max_tokens=st.integers(2, 24))
def test_segments_lose_nothing_but_white_space_between_them_and_each_fits(
    any_tokenizer: PreTrainedTokenizerFast, text: str, max_tokens: int
) -> None:
    try:
        pieces = segments(text, any_tokenizer, max_tokens)
    except RequestError:
        assert any(count_tokens(character, any_tokenizer) > max_tokens for character in text)
        return
    place = 0
    for piece in pieces:
        place += len(text[place:]) - len(text[place:].lstrip())
        assert text.startswith(piece, place)
        place += len(piece)
        assert piece == piece.strip() != ""
        assert count_tokens(piece, any_tokenizer) <= max_tokens
    assert not text[place:].strip()


@LAW
@given(
    st.lists(st.sampled_from(["e\u0301", "स्त", "ไทย์", "a", " b", "東"]), max_size=60).map("".join), st.integers(16, 40)
)
def test_no_segment_begins_with_a_combining_mark(
    byte_level: PreTrainedTokenizerFast, text: str, max_tokens: int
) -> None:
    for piece in segments(text, byte_level, max_tokens):
        assert not unicodedata.category(piece[0]).startswith("M")


def test_a_character_with_more_marks_than_fit_is_still_kept_whole_in_sum(byte_level: PreTrainedTokenizerFast) -> None:
    text = "a" + "\u0301" * 50
    pieces = segments(text, byte_level, 8)
    assert "".join(pieces) == text
    assert all(count_tokens(piece, byte_level) <= 8 for piece in pieces)


@pytest.mark.parametrize("max_tokens", [8, 13, 40, 64])
def test_words_are_not_cut_apart(byte_level: PreTrainedTokenizerFast, max_tokens: int) -> None:
    pieces = segments(PROSE * 5, byte_level, max_tokens)
    assert len(pieces) > 1
    assert " ".join(pieces).split() == (PROSE * 5).split()


def test_segments_are_about_as_long_as_they_may_be(byte_level: PreTrainedTokenizerFast) -> None:
    pieces = segments(PROSE * 20, byte_level, 64)
    assert len(pieces) <= 1.25 * count_tokens(PROSE * 20, byte_level) / 64 + 1


def test_text_that_fits_is_one_segment(byte_level: PreTrainedTokenizerFast) -> None:
    text = f"\n {PROSE}"
    assert segments(text, byte_level, count_tokens(PROSE.strip(), byte_level)) == [PROSE.strip()]


def test_text_of_white_space_has_no_segments(byte_level: PreTrainedTokenizerFast) -> None:
    assert segments(" \n\t ", byte_level, 8) == []


def test_no_single_token_trails_behind(byte_level: PreTrainedTokenizerFast) -> None:
    text = "qjxzv" * 8
    for max_tokens in range(2, count_tokens(text, byte_level)):
        assert count_tokens(segments(text, byte_level, max_tokens)[-1], byte_level) > 1


def test_the_last_two_segments_share_what_is_left(byte_level: PreTrainedTokenizerFast) -> None:
    text = PROSE * 3
    for max_tokens in range(40, count_tokens(text, byte_level) // 2, 7):
        before_last, last = (count_tokens(piece, byte_level) for piece in segments(text, byte_level, max_tokens)[-2:])
        assert abs(before_last - last) <= max_tokens / 3


def test_a_segment_of_one_allowed_token_is_refused(byte_level: PreTrainedTokenizerFast) -> None:
    with pytest.raises(RequestError, match=r"--max-tokens 1: must be at least 2"):
        segments("some text", byte_level, 1)


def test_a_character_that_can_never_fit_is_named(byte_level: PreTrainedTokenizerFast) -> None:
    with pytest.raises(RequestError, match="--max-tokens 3: the character '🦄' alone is 4 tokens"):
        segments("a unicorn 🦄", byte_level, 3)


def test_work_grows_in_step_with_the_text(byte_level: PreTrainedTokenizerFast) -> None:
    def characters_tokenised(text: str) -> int:
        seen = 0

        def counting(part: str, **options: bool) -> object:
            nonlocal seen
            seen += len(part)
            return byte_level(part, **options)

        segments(text, counting, 32)  # type: ignore[arg-type]
        return seen

    spaceless = re.sub(r"\s", "", PROSE)
    for text in (PROSE * 20, spaceless * 20):
        assert characters_tokenised(text * 4) < 4.5 * characters_tokenised(text)
