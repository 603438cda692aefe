"""Chunks: read one by one in any size, they hold what the corpus holds."""

import bz2
import gzip
import json
import lzma
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simset_bench.corpora.bad_records import BadRecord
from simset_bench.corpora.documents import Document
from simset_bench.corpora.files import lines
from simset_bench.corpora.in_parts.chunks import plan_chunks, read_chunk
from simset_bench.corpora.in_parts.staging import stage
from simset_bench.corpora.load import CorpusOptions, load_corpus, stream_corpus
from simset_bench.corpora.readers import jsonl
from simset_bench.errors import RequestError

_LINES = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {"text": st.text(st.characters(exclude_categories=["Cs"]), max_size=12)},
            optional={
                "title": st.text("ab", max_size=3),
                "id": st.one_of(st.text("xy", max_size=4), st.integers(0, 9)),
            },
        ).map(json.dumps),
        st.sampled_from(["", "{", "[]", '{"text": 3}', '{"txt": "x"}', '{"text": "\\ud83d"}', "é"]),
    ),
    min_size=1,
    max_size=20,
)


@given(lines=_LINES, size=st.integers(1, 200), group_by=st.sampled_from(["article", "paragraph"]))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_chunks_hold_the_documents_and_the_bad_records_of_a_stream(
    lines: list[str], size: int, group_by: str, tmp_path: Path
) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    bad: list[BadRecord] = []
    documents = list(stream_corpus(f"jsonl:{path}", group_by=group_by, on_bad=bad.append, unique=False))
    chunks = plan_chunks("jsonl", str(path), size)
    assert chunks is not None
    table = pa.concat_tables([read_chunk(chunk, group_by) for chunk in chunks]).to_pylist()
    good = [row for row in table if row["reason"] is None]
    assert [row["id"] for row in good] == [document.id for document in documents]
    if group_by == "paragraph":
        assert [row["text"] for row in good] == [document.text for document in documents]
    found = [(row["origin"], row["reason"]) for row in table if row["reason"] is not None]
    assert found == [(record.origin, record.reason) for record in bad]


def test_an_empty_file_among_others_holds_no_document(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("")
    with pytest.raises(RequestError, match="empty"):
        load_corpus(f"jsonl:{tmp_path / 'a.jsonl'}")
    (tmp_path / "b.jsonl").write_text('{"text": "one"}\n')
    assert [document.id for document in load_corpus(f"jsonl:{tmp_path}")] == ["b.jsonl:1"]
    assert [chunk.prefix for chunk in plan_chunks("jsonl", str(tmp_path)) or []] == ["b.jsonl:"]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_records_without_ids_have_one_that_no_other_file_has(kind: str, tmp_path: Path) -> None:
    for name in ("one", "sub/two"):
        path = tmp_path / f"{name}.{kind}"
        path.parent.mkdir(exist_ok=True)
        texts = [f"{name} {number}" for number in range(3)]
        if kind == "parquet":
            pq.write_table(pa.table({"text": texts}), path)
        else:
            path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    ids = [f"{name}.{kind}:{number}" for name in ("one", "sub/two") for number in (1, 2, 3)]
    assert [document.id for document in load_corpus(f"{kind}:{tmp_path}")] == ids
    chunks = plan_chunks(kind, str(tmp_path), 20) or []
    assert [row for chunk in chunks for row in read_chunk(chunk, "article")["id"].to_pylist()] == ids
    paragraphs = [row for chunk in chunks for row in read_chunk(chunk, "paragraph")["id"].to_pylist()]
    assert paragraphs == [f"{identity}#0" for identity in ids]


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".xz", ".zst"])
def test_an_endless_line_is_malformed_in_memory_and_in_parts(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "LARGEST_RECORD", 1000)
    monkeypatch.setattr(jsonl, "LARGEST_RECORD", 1000)
    path = tmp_path / f"a.jsonl{suffix}"
    content = "".join(json.dumps({"text": text}) + "\n" for text in ("first", "x" * 5000, "third", "y" * 5000)).encode()
    pack = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
    pack[".zst"] = lambda data: pa.compress(data, codec="zstd", asbytes=True)
    path.write_bytes(pack[suffix](content))
    bad: list[BadRecord] = []
    documents = load_corpus(f"jsonl:{path}", on_bad=bad.append)
    assert [document.id for document in documents] == ["1", "3"]
    reason = "longer than 0 MiB"
    assert [(record.origin, record.reason) for record in bad] == [(f"{path}, line {n}", reason) for n in (2, 4)]
    chunks = plan_chunks("jsonl", str(path), 100) or stage(CorpusOptions(f"jsonl:{path}"), tmp_path)
    rows = pa.concat_tables([read_chunk(chunk, "article") for chunk in chunks]).to_pylist()
    assert [row["id"] for row in rows if row["reason"] is None] == ["1", "3"]
    assert [row["origin"] for row in rows if row["reason"]] == [record.origin for record in bad]


def _parquet(path: Path, rows: int, group: int) -> list[Document]:
    columns = {"id": list(range(rows)), "text": [f"text {n}\n\nmore" if n % 7 else "" for n in range(rows)]}
    pq.write_table(pa.table(columns), path, row_group_size=group)
    return list(stream_corpus(f"parquet:{path}", on_bad=lambda _bad: None))


@pytest.mark.parametrize("size", [100, 500, 1 << 20])
def test_parquet_is_cut_between_row_groups(size: int, tmp_path: Path) -> None:
    documents = _parquet(tmp_path / "a.parquet", 100, 9)
    chunks = plan_chunks("parquet", str(tmp_path), size)
    assert chunks is not None
    table = pa.concat_tables([read_chunk(chunk, "article") for chunk in chunks]).to_pylist()
    assert [row["id"] for row in table if row["reason"] is None] == [document.id for document in documents]
    bad = [row for row in table if row["reason"] is not None]
    assert [row["origin"] for row in bad] == [f"{tmp_path / 'a.parquet'}, row {n + 1}" for n in range(0, 100, 7)]


def test_a_row_group_too_large_to_hold_is_not_cut(tmp_path: Path) -> None:
    _parquet(tmp_path / "a.parquet", 4000, 4000)
    assert plan_chunks("parquet", str(tmp_path / "a.parquet"), 100) is None


def test_compressed_lines_are_laid_down_and_read_the_same(tmp_path: Path) -> None:
    data = "".join(json.dumps({"id": f"d{n}", "text": f"text {n}"}) + "\n" for n in range(50)).encode()
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(data[:1000]) + gzip.compress(data[1000:]))
    with pa.output_stream(tmp_path / "b.jsonl.zst", compression="zstd") as packed:
        packed.write(data.replace(b'"d', b'"e'))
    assert plan_chunks("jsonl", str(tmp_path)) is None
    folder = tmp_path / "work"
    folder.mkdir()
    chunks = stage(CorpusOptions(f"jsonl:{tmp_path}/*.jsonl.*"), folder)
    table = pa.concat_tables([read_chunk(chunk, "article") for chunk in chunks])
    assert table["id"].to_pylist() == [f"{letter}{n}" for letter in "de" for n in range(50)]
    assert [document.id for document in load_corpus(f"jsonl:{tmp_path}")] == table["id"].to_pylist()


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_cut_compressed_file_is_named(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.jsonl.{suffix}"
    with pa.output_stream(path, compression={"gz": "gzip", "zst": "zstd"}[suffix]) as packed:
        packed.write("".join(json.dumps({"text": f"{n * n}"}) + "\n" for n in range(5000)).encode())
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RequestError, match="damaged after line"):
        load_corpus(f"jsonl:{path}")
