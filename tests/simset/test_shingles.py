import pytest
from hypothesis import given
from hypothesis import strategies as st

from simset_bench.simset.shingles import jaccard, word_shingles, words_of


@given(st.lists(st.sampled_from(["ada", "wrote", "the", "first", "42"]), min_size=1), st.integers(1, 4))
def test_shingles_are_every_run_of_n_words(words: list[str], size: int) -> None:
    expected = {" ".join(words[start : start + size]) for start in range(len(words) - size + 1)}
    assert word_shingles(" ".join(words), size) == (expected or {" ".join(words)})


@given(st.text(min_size=1), st.integers(1, 4))
def test_no_text_has_an_empty_set_of_shingles(text: str, size: int) -> None:
    assert word_shingles(text, size)


@pytest.mark.parametrize("other", ["ADA wrote: 'Notes'!", "Ada\nwrote\t\u00a0notes", "Ada wrote ﬁne"])
def test_case_punctuation_white_space_and_compatibility_forms_make_no_difference(other: str) -> None:
    plain = "ada wrote fine" if "ﬁ" in other else "ada wrote notes"
    assert word_shingles(other, 2) == word_shingles(plain, 2)


def test_combining_marks_belong_to_their_word() -> None:
    assert words_of("हिन्दी में") == ["हिन्दी", "में"]
    assert words_of("cafe\u0301") == words_of("café")


# A soft hyphen, a combining joiner, direction marks, joiners, a word joiner, fillers, selectors, a BOM, a tag.
INVISIBLE = "\u00ad\u034f\u061c\u115f\u200b\u200c\u200d\u200e\u202e\u2060\u3164\ufe0f\ufeff\uffa0\U000e0041"


@given(st.lists(st.tuples(st.text(max_size=8), st.text(INVISIBLE, max_size=2))), st.integers(1, 3))
def test_invisible_characters_anywhere_change_no_shingle(pieces: list[tuple[str, str]], size: int) -> None:
    shown, copied = "".join(piece for piece, _ in pieces), "".join(map("".join, pieces))
    assert word_shingles(copied, size) == word_shingles(shown, size)


@pytest.mark.parametrize(
    "copy", ["The let\u00adters", "\ufeffThe let\u200bters", "The\u2060 letters\u200e", "The le\ufff9tte\ufffars\ufffb"]
)
def test_a_copy_that_looks_alike_is_the_same(copy: str) -> None:
    assert jaccard(word_shingles(copy, 2), word_shingles("The letters", 2)) == 1


@given(st.sets(st.integers(0, 9), min_size=1), st.sets(st.integers(0, 9)))
def test_jaccard_is_shared_over_all(one: set[int], other: set[int]) -> None:
    a, b = {str(number) for number in one}, {str(number) for number in other}
    everything = [number for number in map(str, range(10)) if number in a or number in b]
    assert jaccard(a, b) == sum(number in a and number in b for number in everything) / len(everything)
    assert jaccard(a, b) == jaccard(b, a)
    assert jaccard(a, a) == 1
