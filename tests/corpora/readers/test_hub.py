"""Rows of a data set become articles; `tests/corpora/files/test_hub.py` is about reaching the hub."""

import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from simset_bench.corpora.bad_records import BadRecord
from simset_bench.corpora.load import load_corpus
from simset_bench.errors import RequestError

Write = Callable[[str, str | bytes], Path]


def test_rows_of_a_data_set_become_articles(write: Write, tmp_path: Path) -> None:
    rows = [
        {"id": 0, "title": "Zero", "text": "first\n\nsecond", "topic": "numbers"},
        {"id": 1, "title": "", "text": " \n", "topic": "numbers"},
        {"id": 2, "title": "Two", "text": "third", "topic": None},
    ]
    write("rows/train.jsonl", "\n".join(map(json.dumps, rows)))
    documents = load_corpus(f"hub:{tmp_path / 'rows'}")
    assert [(document.id, document.title, document.topic) for document in documents] == [
        ("0", "Zero", "numbers"),
        ("2", "Two", None),
    ]
    assert documents[0].text == "first\n\nsecond"


def test_a_data_set_without_texts_or_without_the_split_is_refused(write: Write, tmp_path: Path) -> None:
    write("rows/train.jsonl", '{"body": "text"}')
    with pytest.raises(RequestError, match=r"row 1: no column `text` with strings, columns are body"):
        load_corpus(f"hub:{tmp_path / 'rows'}")
    with pytest.raises(RequestError, match=r"cannot be loaded \(.*validation"):
        load_corpus(f"hub:{tmp_path / 'rows'}::validation")


def test_rows_without_text_are_passed_over_and_counted(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"id": "a", "text": None}, {"id": "b", "text": "second"}, {"id": "c", "text": " "}]
    write("rows/train.jsonl", "\n".join(map(json.dumps, rows)))
    assert [document.id for document in load_corpus(f"hub:{tmp_path / 'rows'}")] == ["b"]
    assert "passed over 2 rows without text" in capsys.readouterr().err


def test_a_folder_that_save_to_disk_wrote_is_read(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    saved = datasets.Dataset.from_dict({"id": ["a", "b"], "text": ["first", "second"]})
    saved.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": saved, "test": saved.select([1])}).save_to_disk(tmp_path / "splits")
    for location, ids in (("one", ["a", "b"]), ("splits", ["a", "b"]), ("splits::test", ["b"])):
        assert [document.id for document in load_corpus(f"hub:{tmp_path}/{location}")] == ids
    with pytest.raises(RequestError, match="there is no split 'dev', only train, test"):
        load_corpus(f"hub:{tmp_path}/splits::dev")


def test_a_saved_folder_that_was_cut_is_refused(tmp_path: Path) -> None:
    """Cut between two batches, the first thousand documents look like a data set."""
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_dict({"text": [f"text {number}" for number in range(2500)]}).save_to_disk(tmp_path / "saved")
    (path,) = (tmp_path / "saved").glob("*.arrow")
    whole = path.read_bytes()
    stream = pa.BufferReader(whole)
    pa.ipc.open_stream(stream).read_next_batch()
    for kept in (stream.tell(), len(whole) - 8, 3, 0):
        path.write_bytes(whole[:kept])
        with pytest.raises(RequestError, match=r"data-00000-of-00001\.arrow: cut short"):
            load_corpus(f"hub:{tmp_path / 'saved'}")
    path.write_bytes(whole)
    assert len(load_corpus(f"hub:{tmp_path / 'saved'}")) == 2500


# Some releases of `datasets` see it when they open the files, and others when they read on.
BROKEN, NO_ROWS = "cannot be (loaded|read to its end)", "it has no rows|no documents"
TEXTS = "".join(json.dumps({"text": f"text {number}"}) + "\n" for number in range(500)).encode()


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"train.jsonl.gz": gzip.compress(TEXTS)[:-200]}, BROKEN),
        ({"train.jsonl.xz": lzma.compress(TEXTS)[:-50]}, BROKEN),
        ({"train.parquet": b"PAR1 and no more"}, BROKEN),
        ({"train.jsonl": ""}, NO_ROWS),
    ],
)
def test_files_that_break_off_are_refused(
    files: dict[str, str | bytes], why: str, write: Write, tmp_path: Path
) -> None:
    for name, content in files.items():
        write(f"rows/{name}", content)
    with pytest.raises(RequestError, match=why):
        load_corpus(f"hub:{tmp_path / 'rows'}")


def test_files_that_disagree_are_refused_or_read_whole(write: Write, tmp_path: Path) -> None:
    """Older `datasets` read such files, and newer ones refuse them."""
    write("rows/a.jsonl", '{"text": "a", "meta": {"n": 1}}')
    write("rows/b.jsonl", '{"text": "b", "meta": "c"}')
    try:
        documents = load_corpus(f"hub:{tmp_path / 'rows'}")
    except RequestError as error:
        assert "jsonl:FOLDER" in str(error)
    else:
        assert [document.text for document in documents] == ["a", "b"]


def test_a_row_whose_title_is_no_text_is_malformed(write: Write, tmp_path: Path) -> None:
    rows = [{"id": "a", "title": {"en": "Alda"}, "text": "first"}, {"id": "b", "title": None, "text": "second"}]
    write("rows/train.jsonl", "\n".join(map(json.dumps, rows)))
    bad: list[BadRecord] = []
    assert [document.id for document in load_corpus(f"hub:{tmp_path / 'rows'}", on_bad=bad.append)] == ["b"]
    assert [record.reason for record in bad] == ["column `title` must hold text, found dict {'en': 'Alda'}"]


def test_a_row_without_an_id_is_called_by_its_title_or_else_its_number(write: Write, tmp_path: Path) -> None:
    rows = [{"title": "", "topic": "", "text": "first"}, {"title": "Two", "topic": "two", "text": "second"}]
    write("rows/train.jsonl", "\n".join(map(json.dumps, rows)))
    documents = load_corpus(f"hub:{tmp_path / 'rows'}")
    named = [(document.id, document.title, document.topic) for document in documents]
    assert named == [("1", "1", None), ("Two", "Two", "two")]


def test_a_folder_called_like_a_format_is_a_folder_and_a_format_is_no_data_set(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`datasets` reads every file below the working folder for `csv`."""
    write("csv/train.csv", "id,text\na,first\n")
    write("other.csv", "id,text\nb,second\n")
    monkeypatch.chdir(tmp_path)
    assert [document.id for document in load_corpus("hub:csv")] == ["a"]
    with pytest.raises(RequestError, match="hub:json: there is no such folder, and json is a format"):
        load_corpus("hub:json")


def test_whole_numbers_in_a_column_with_gaps_are_whole(write: Write, tmp_path: Path) -> None:
    write("rows/train.csv", "id,text\n7,first\n,second\n8.5,third\n")
    assert [document.id for document in load_corpus(f"hub:{tmp_path / 'rows'}")] == ["7", "2", "8.5"]


def test_a_broken_readme_and_a_data_set_of_no_rows_are_refused(write: Write, tmp_path: Path) -> None:
    write("rows/train.jsonl", '{"text": "first"}')
    write("rows/README.md", "---\nconfigs: [\n---\n")
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_dict({"text": []}).save_to_disk(tmp_path / "none")
    for name in ("rows", "none"):
        with pytest.raises(RequestError, match=rf"{name}( cannot be loaded|: no documents)") as raised:
            load_corpus(f"hub:{tmp_path / name}")
        assert "\n" not in str(raised.value)
