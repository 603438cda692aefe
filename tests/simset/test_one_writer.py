"""An allocation has one writer at a time, and a killed one's work is finished by the same command."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from simset_bench.corpora.load import CorpusOptions
from simset_bench.errors import HeldElsewhere, RequestError
from simset_bench.simset import allocate_to_file as module
from simset_bench.simset.allocate_to_file import allocate_to_file
from simset_bench.simset.large import allocate as large
from simset_bench.simset.large import append as append_module
from simset_bench.simset.large.allocate import AllocationRequest
from simset_bench.simset.large.append import append_documents


@pytest.fixture
def request_of(tiny_corpus: Path) -> Callable[..., AllocationRequest]:
    def made(num_docs: int = 8, strategy: str = "simset2") -> AllocationRequest:
        return AllocationRequest(CorpusOptions(f"jsonl:{tiny_corpus}", num_docs=num_docs), strategy, 64, 8, 0)

    return made


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class Killed(BaseException):
    """Stands for a kill: no code of ours catches it."""


def die(*_arguments: object, **_options: object) -> None:
    raise Killed


@pytest.mark.parametrize("engine", ["datasketch", "daft"])
def test_killed_after_the_file_is_in_place_the_same_request_finishes_the_rest(
    request_of: Callable[..., AllocationRequest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    output, straight = tmp_path / "a.parquet", tmp_path / "straight" / "a.parquet"
    allocate_to_file(request_of(), straight, engine)
    with monkeypatch.context() as patch:
        patch.setattr(large if engine == "daft" else module, "write_lookup" if engine == "daft" else "asdict", die)
        if engine == "datasketch":
            # There nothing is left to do after the file but the work folder's removal.
            patch.undo()
            patch.setattr(module, "write_allocation", lambda *given: (module_write(*given), die()))
        with pytest.raises(Killed):
            allocate_to_file(request_of(), output, engine, overwrite=False)
    assert ".a.parquet.work" in names(tmp_path)
    (tmp_path / ".a.parquet.0123_abc.parquet").write_bytes(b"half of a f")
    # Another request is told of the file, this one goes on.
    with pytest.raises(RequestError, match="is already there"):
        allocate_to_file(request_of(strategy="random"), output, engine, overwrite=False)
    allocate_to_file(request_of(), output, engine, overwrite=False)
    assert output.read_bytes() == straight.read_bytes()
    assert names(tmp_path) == ["a.parquet", "straight"]
    with pytest.raises(RequestError, match="is already there"):
        allocate_to_file(request_of(), output, engine, overwrite=False)


module_write = module.write_allocation


def test_killed_after_documents_were_added_the_same_command_does_not_add_them_again(
    request_of: Callable[..., AllocationRequest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = tmp_path / "more.jsonl"
    more.write_text('{"id": "new", "text": "a keeper of bees lives in Varn"}\n')
    output = tmp_path / "a.parquet"
    allocate_to_file(request_of(), output, "daft")
    with monkeypatch.context() as patch:
        patch.setattr(append_module, "write_lookup", die)
        with pytest.raises(Killed):
            append_documents(output, CorpusOptions(f"jsonl:{more}"), 0)
    added = output.read_bytes()
    assert append_documents(output, CorpusOptions(f"jsonl:{more}"), 0).documents == 9
    assert output.read_bytes() == added
    assert names(tmp_path) == ["a.parquet", "more.jsonl"]
    with pytest.raises(RequestError, match="duplicate document id 'new'"):
        append_documents(output, CorpusOptions(f"jsonl:{more}"), 0)


@pytest.mark.parametrize("engine", ["datasketch", "daft"])
def test_a_second_writer_is_refused(
    request_of: Callable[..., AllocationRequest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    output = tmp_path / "a.parquet"
    refused = []
    load = CorpusOptions.load

    def second(*given: object, **options: object) -> object:
        for again in ("datasketch", "daft"):
            with pytest.raises(HeldElsewhere, match="another process is writing it"):
                allocate_to_file(request_of(4), output, again)
            refused.append(again)
        return load(*given, **options)  # type: ignore[arg-type]

    def stage(*given: object, **options: object) -> object:
        second_parts = large.__dict__["_parts"]
        with pytest.raises(HeldElsewhere):
            allocate_to_file(request_of(4), output, "datasketch")
        refused.append("both")
        return second_parts(*given, **options)

    if engine == "datasketch":
        monkeypatch.setattr(CorpusOptions, "load", second)
    else:
        monkeypatch.setitem(large.__dict__, "_parts", large.signed_parts)
        monkeypatch.setattr(large, "signed_parts", stage)
    assert allocate_to_file(request_of(8), output, engine).documents == 8
    assert refused
    assert names(tmp_path) == ["a.parquet"]


def test_of_three_processes_one_works_and_the_others_are_refused(tiny_corpus: Path, tmp_path: Path) -> None:
    chosen = ["--corpus", f"jsonl:{tiny_corpus}", "--output", str(tmp_path / "a.parquet"), "--engine", "datasketch"]
    command = [sys.executable, "-m", "simset_bench", "allocate", *chosen]
    started = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate()[1] for process in started]
    codes = [process.returncode for process in started]
    assert codes.count(0) == 1 and codes.count(2) == 2, said
    assert all("another process is writing it" in line or "is already there" in line for line in said if line)
    assert names(tmp_path) == ["a.parquet"]
