"""Parquet files: each row an article or a malformed record, and files that hold something else are named."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simset_bench.corpora.bad_records import BadRecord
from simset_bench.corpora.documents import Article
from simset_bench.corpora.in_parts.chunks import plan_chunks, read_chunk
from simset_bench.corpora.load import load_corpus
from simset_bench.corpora.readers import parquet
from simset_bench.corpora.readers.parquet import parquet_records
from simset_bench.errors import RequestError


def test_an_article_is_called_by_its_id_its_title_or_its_row(tmp_path: Path) -> None:
    columns = {
        "id": [7, None, None],
        "title": ["Ada", "Bell", None],
        "topic": ["people", None, None],
        "else": [1, 2, 3],
    }
    pq.write_table(pa.table(columns | {"text": ["one\r\n\r\ntwo\r\nmore", "bell", "bare"]}), tmp_path / "a.parquet")
    documents = load_corpus(f"parquet:{tmp_path / 'a.parquet'}")
    named = [(document.id, document.title, document.topic) for document in documents]
    assert named == [("7", "Ada", "people"), ("Bell", "Bell", None), ("3", "3", None)]
    assert documents[0].text == "one\n\ntwo\nmore"


@given(texts=st.lists(st.sampled_from([None, "", " \n", "one", "two\n\nthree"]), max_size=12), rows=st.integers(1, 5))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_row_is_an_article_or_a_malformed_record_in_batches_of_any_size(
    texts: list[str | None], rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": pa.array(texts, pa.string())}), path)
    monkeypatch.setattr(parquet, "_BATCH_ROWS", rows)
    records = list(parquet_records(str(path)))
    assert [record.origin for record in records] == [f"{path}, row {number}" for number in range(1, len(texts) + 1)]
    for text, record in zip(texts, records, strict=True):
        if text and text.strip():
            assert isinstance(record, Article)
            assert "\n\n".join(paragraph.text for paragraph in record.paragraphs) == text
        else:
            assert isinstance(record, BadRecord)
            assert record.reason == f"column `text` is {'null' if text is None else 'empty'}"


def test_a_folder_is_read_file_by_file_in_the_order_of_names(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        pq.write_table(pa.table({"id": [name], "text": ["x"]}), tmp_path / name / "rows.parquet")
    assert [document.id for document in load_corpus(f"parquet:{tmp_path}")] == ["a", "b"]


def test_columns_that_hold_no_text_are_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"txt": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(RequestError, match=r"no column `text` \(did you mean 'txt'\?\)"):
        load_corpus(f"parquet:{tmp_path / 'a.parquet'}")
    pq.write_table(pa.table({"text": [1]}), tmp_path / "a.parquet")
    with pytest.raises(RequestError, match="column `text` must hold strings, it holds int64"):
        load_corpus(f"parquet:{tmp_path / 'a.parquet'}")


def _not_utf8(*values: bytes) -> pa.Array:
    """Strings that no writer should write, but some do."""
    offsets, data = pa.array(values, pa.binary()).buffers()[1:]
    return pa.StringArray.from_buffers(len(values), offsets, data)


def test_strings_in_other_arrow_types_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    columns = {"id": pa.array(["a", "b"]).dictionary_encode(), "topic": pa.array(["x", None]).dictionary_encode()}
    pq.write_table(pa.table(columns | {"text": pa.array(["one", "two"], pa.string_view())}), path)
    documents = load_corpus(f"parquet:{path}")
    assert [(document.id, document.topic, document.text) for document in documents] == [
        ("a", "x", "one"),
        ("b", None, "two"),
    ]


@pytest.mark.parametrize("column", ["text", "title"])
def test_a_row_that_is_not_utf8_is_malformed_in_memory_and_in_parts(column: str, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    columns = {"title": pa.array(["one", "two"]), "text": pa.array(["one", "two"])} | {
        column: _not_utf8(b"a\xff", b"two")
    }
    pq.write_table(pa.table(columns), path)
    bad: list[BadRecord] = []
    assert [document.id for document in load_corpus(f"parquet:{path}", on_bad=bad.append)] == ["two"]
    assert [(record.origin, record.reason) for record in bad] == [
        (f"{path}, row 1", f"column `{column}` is not UTF-8 (byte 1)")
    ]
    (chunk,) = plan_chunks("parquet", str(path)) or []
    for group_by in ("article", "paragraph"):
        rows = read_chunk(chunk, group_by).to_pylist()
        set_aside = [(row["origin"], row["reason"]) for row in rows if row["reason"]]
        assert set_aside == [(record.origin, record.reason) for record in bad]


def test_a_row_longer_than_a_record_may_be_is_malformed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "LARGEST_RECORD", 10)
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["x" * 11, "x" * 10]}), path)
    bad: list[BadRecord] = []
    assert len(load_corpus(f"parquet:{path}", on_bad=bad.append)) == 1
    assert [record.origin for record in bad] == [f"{path}, row 1"]


def test_two_columns_of_one_name_are_refused_where_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    texts = pa.array(["one"])
    pq.write_table(pa.Table.from_arrays([texts, texts, texts], names=["text", "other", "other"]), path)
    assert len(load_corpus(f"parquet:{path}")) == 1
    pq.write_table(pa.Table.from_arrays([texts, texts], names=["text", "text"]), path)
    with pytest.raises(RequestError, match=r"a\.parquet: has 2 columns `text`, and needs one"):
        load_corpus(f"parquet:{path}")


def test_a_file_that_is_not_parquet_or_is_damaged_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_text('{"text": "a"}')
    with pytest.raises(RequestError, match=r"a\.parquet: not Parquet, or damaged"):
        load_corpus(f"parquet:{path}")
    pq.write_table(pa.table({"text": [f"text {n * n}" for n in range(5000)]}), path, compression="zstd")
    data = bytearray(path.read_bytes())
    data[4:2000] = bytes(1996)
    path.write_bytes(data)
    with pytest.raises(RequestError, match=r"a\.parquet: damaged after row 0 "):
        load_corpus(f"parquet:{path}")
