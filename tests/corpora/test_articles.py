from hypothesis import given
from hypothesis import strategies as st

from simset_bench.corpora.documents import split_paragraphs


@given(st.text(alphabet="ab \n\t"))
def test_paragraphs_are_what_blank_lines_separate_and_never_empty(text: str) -> None:
    paragraphs = [paragraph.text for paragraph in split_paragraphs(text)]
    assert "\n".join(paragraphs).split() == text.split()
    assert all(text.strip() and not any(not line.strip() for line in text.split("\n")) for text in paragraphs)


def test_lines_of_one_paragraph_stay_together() -> None:
    assert [p.text for p in split_paragraphs("\na\n  b\n \n\nc\n")] == ["a\n  b", "c"]
