"""Lines of a file one at a time, whatever their length."""

from collections.abc import Iterator
from typing import BinaryIO

# Bytes of one record beyond which it is malformed: a file of one endless line must not fill the memory.
LARGEST_RECORD = 64 << 20
_PIECE = 1 << 20


def lines_of(stream: BinaryIO, size: int | None = None) -> Iterator[bytes]:
    """The lines of the next `size` bytes of a stream, None for all, each with its line feed.

    Of a line longer than LARGEST_RECORD, the first LARGEST_RECORD + 1 bytes come, and the rest is passed over.
    Raises EOFError where the stream ends before `size` bytes.
    """
    left = size
    while left is None or left > 0:
        line = stream.readline(LARGEST_RECORD + 1)
        if not line:
            break
        length = len(line) + (0 if line.endswith(b"\n") or len(line) <= LARGEST_RECORD else pass_over_line(stream))
        left = None if left is None else left - length
        yield line
    if left:
        raise EOFError(f"{left} bytes are missing")


def pass_over_line(stream: BinaryIO) -> int:
    """Read on to the end of a line; returns the number of bytes."""
    length = 0
    while piece := stream.readline(_PIECE):
        length += len(piece)
        if piece.endswith(b"\n"):
            break
    return length
