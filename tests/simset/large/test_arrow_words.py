"""Words of whole columns: the same as text by text, in every script."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simset_bench.corpora.invisible import visible
from simset_bench.simset.large.arrow_words import spaced_words
from simset_bench.simset.shingles import word_shingles, words_of

# Letters that fold alone, with their neighbours, into more or fewer bytes; marks, scripts without spaces, separators.
_TRICKY = "aA zZ9_.-\té\u0301ß…½ﬁ中文語가나ᄀ힣ᅡกาहिन्दी٣ΣςİǅÅ𝐀𠀀\u00a0\u2028\u0345ᾳΐカ゛ガﾊﾟᆨ"
_INVISIBLE = "\u00ad\u200b\u200d\u2060\ufe0f\u3164"
_CHARACTERS = st.sampled_from(_TRICKY + _INVISIBLE) | st.characters(exclude_categories=["Cs"])
_TEXTS = st.text(_CHARACTERS, max_size=40)


@given(st.lists(_TEXTS, max_size=8))
@settings(max_examples=300, deadline=None)
def test_words_of_a_column_are_those_of_each_text(texts: list[str]) -> None:
    expected = [" ".join(words_of(text)) or "\u00a0".join(visible(text).split()) for text in texts]
    assert spaced_words(pa.array(texts, pa.string())).to_pylist() == expected


def test_a_slice_of_a_column_has_the_words_of_its_own_rows() -> None:
    column = pa.array(["One, two", "Größe", "x" * 300_000, "drei"])
    assert spaced_words(column.slice(1, 3)).to_pylist() == ["grösse", "x" * 300_000, "drei"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("東京は日本の首都", ["東", "京", "は", "日", "本", "の", "首", "都"]),
        ("서울은 한국", ["서", "울", "은", "한", "국"]),
        ("กรุงเทพ", ["ก", "รุ", "ง", "เ", "ท", "พ"]),
        ("Tokyo（東京）2020", ["tokyo", "東", "京", "2020"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("Ёлка, naïve café", ["ёлка", "naïve", "café"]),
    ],
)
def test_scripts_without_spaces_are_words_of_one_character(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_related_japanese_texts_share_shingles() -> None:
    one, other = word_shingles("東京は日本の首都です", 2), word_shingles("東京は日本の首都でした", 2)
    assert len(one & other) >= 8
