"""Lines of any length, in bounded memory."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simset_bench.corpora.files import lines
from simset_bench.corpora.files.lines import lines_of


@given(content=st.lists(st.text("ab\r\u2028", max_size=30).map(str.encode), max_size=6), last=st.binary(max_size=3))
def test_long_lines_are_cut_and_the_others_come_whole(content: list[bytes], last: bytes) -> None:
    last = last.replace(b"\n", b"")
    ended = [line + b"\n" for line in content]
    data = b"".join(ended)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "LARGEST_RECORD", 10)
        patch.setattr(lines, "_PIECE", 3)
        cut = [line[:11] for line in ended]
        assert list(lines_of(io.BytesIO(data + last))) == cut + [last] * bool(last)
        assert list(lines_of(io.BytesIO(data + last), len(data))) == cut


def test_a_stream_that_ends_before_its_size_is_noticed() -> None:
    with pytest.raises(EOFError, match="2 bytes are missing"):
        list(lines_of(io.BytesIO(b"one\n"), 6))
