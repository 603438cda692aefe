import sys

import pytest

from simset_bench.corpora.invisible import visible


def test_what_is_dropped_is_what_unicode_calls_default_ignorable_and_marks_of_annotations() -> None:
    regex = pytest.importorskip("regex", reason="comes with transformers")
    ignorable = regex.compile(r"\p{Default_Ignorable_Code_Point}")
    every = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    annotations = "\ufff9\ufffa\ufffb"
    assert [char for char in every if not visible(char)] == [
        char for char in every if ignorable.match(char) or char in annotations
    ]


def test_what_can_be_seen_stays() -> None:
    assert visible("Al\u00adda\u200b flows\u2060.\ufeff") == "Alda flows."
    assert visible("plain\n\ttext") == "plain\n\ttext"
