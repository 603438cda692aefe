"""Sizes come from the pages of a Parquet file, whatever its footer says."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simset_bench.results.parquet_pages import ChunkSize, chunk_sizes

TEXTS = pa.schema([("texts", pa.list_(pa.string())), ("numbers", pa.float64())])


@given(
    rows=st.lists(
        st.fixed_dictionaries({"texts": st.lists(st.text(max_size=4)), "numbers": st.floats(width=64)}),
        min_size=1,
        max_size=20,
    ),
    dictionary=st.booleans(),
    version=st.sampled_from(["1.0", "2.0"]),
    codec=st.sampled_from(["zstd", "none"]),
    page=st.sampled_from([16, 1 << 20]),
)
def test_sizes_are_those_of_an_honest_footer(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict], dictionary: bool, version: str, codec: str, page: int
) -> None:
    file = tmp_path_factory.getbasetemp() / "pages.parquet"
    table = pa.Table.from_pylist(rows, TEXTS)
    pq.write_table(
        table,
        file,
        use_dictionary=dictionary,
        data_page_version=version,
        compression=codec,
        data_page_size=page,
        row_group_size=7,
        store_schema=False,
    )
    metadata = pq.read_metadata(file)
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    chunks = [group.column(number) for group in groups for number in range(2)]
    for size, chunk in zip(chunk_sizes(file, TEXTS), chunks, strict=True):
        assert (size.path, size.has_dictionary) == (chunk.path_in_schema, chunk.has_dictionary_page)
        assert size.values >= chunk.num_values
        # The footer counts headers of pages too.
        assert size.bytes <= chunk.total_uncompressed_size


def forged(file: Path, honest: int, claimed: int) -> None:
    """Put another number into a footer, as long in Thrift's varints as the one that stands there."""
    content = bytearray(file.read_bytes())
    size = int.from_bytes(content[-8:-4], "little")
    footer = bytes(content[-8 - size : -8])
    number = varint(2 * honest)
    assert number in footer
    content[-8 - size : -8] = footer.replace(number, varint(2 * claimed, len(number)))
    file.write_bytes(content)


def varint(number: int, length: int = 1) -> bytes:
    parts = []
    while number or len(parts) < length:
        parts.append(number & 127)
        number >>= 7
    return bytes([*(part | 128 for part in parts[:-1]), parts[-1]])


def test_a_forged_footer_hides_neither_values_nor_bytes(tmp_path: Path) -> None:
    file = tmp_path / "forged.parquet"
    schema = pa.schema([("texts", pa.string())])
    pq.write_table(pa.table({"texts": ["a"] * 3_000_000}), file, store_schema=False, data_page_size=1 << 30)
    forged(file, 3_000_000, 2)
    assert sum(size.values for size in chunk_sizes(file, schema)) >= 3_000_000
    pq.write_table(pa.table({"texts": ["a" * 3_000_000]}), file, store_schema=False, use_dictionary=False)
    forged(file, pq.read_metadata(file).row_group(0).column(0).total_uncompressed_size, 90)
    assert pq.read_metadata(file).row_group(0).column(0).total_uncompressed_size == 90
    assert chunk_sizes(file, schema) == [ChunkSize("texts", 1, pytest.approx(3_000_000, abs=100), False)]


def test_encodings_that_hide_their_size_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "prefixes.parquet"
    options = {"use_dictionary": False, "column_encoding": {"texts": "DELTA_BYTE_ARRAY"}, "store_schema": False}
    pq.write_table(pa.table({"texts": ["a" * 1000] * 1000}), file, **options)
    with pytest.raises(ValueError, match="texts has a page of encoding 7"):
        chunk_sizes(file, pa.schema([("texts", pa.string())]))


def test_damaged_headers_are_refused_and_never_hang(tmp_path: Path) -> None:
    file = tmp_path / "damaged.parquet"
    schema = pa.schema([("numbers", pa.float64())])
    pq.write_table(pa.table({"numbers": np.arange(20.0)}), file, use_dictionary=False, store_schema=False)
    whole = file.read_bytes()
    refused = 0
    for place in range(4, 40):
        for value in (0, 0x7F, 0x80, 0xFF, 0x5C):
            file.write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
            try:
                chunk_sizes(file, schema)
            except ValueError as error:
                refused += 1
                assert "is not Parquet" in str(error)
    assert refused > 20
