"""Allocation out of core: nothing lost, nothing doubled, nothing partial, whatever fails on the way."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from simset_bench.corpora.load import CorpusOptions, load_corpus
from simset_bench.errors import RequestError
from simset_bench.files import held_folder
from simset_bench.simset import linkage
from simset_bench.simset.allocate_to_file import allocate_to_file
from simset_bench.simset.large import allocate as out_of_core
from simset_bench.simset.large.allocate import AllocationRequest, allocate_out_of_core
from simset_bench.simset.large.sign import SignedChunk, Sketch, sign_texts
from simset_bench.simset.one_writer import LOCK, work_folder
from simset_bench.simset.store import read_allocation, read_allocation_manifest
from simset_bench.simset.strategies import entries_by_signature

MakeCorpus = Callable[..., Path]

pytest.importorskip("daft", reason="needs the extra `scale`")


def request_for(path: Path, **changes: object) -> AllocationRequest:
    names = {field.name for field in dataclasses.fields(CorpusOptions)}
    corpus = {"corpus": f"jsonl:{path}"} | {name: changes.pop(name) for name in list(changes) if name in names}
    options: dict = {"strategy": "simset2", "num_entries": 256, "entries_per_doc": 16, "seed": 3} | changes
    return AllocationRequest(CorpusOptions(**corpus), **options)


def test_entries_are_those_of_each_text_alone(make_corpus: MakeCorpus, tmp_path: Path) -> None:
    path = make_corpus(50)
    made = allocate_out_of_core(request_for(path), tmp_path / "a.parquet")
    found = read_allocation(tmp_path / "a.parquet")
    documents = load_corpus(f"jsonl:{path}")
    expected = entries_by_signature(sign_texts([d.text for d in documents], Sketch(2, 16), 3), 256)
    assert found.document_ids == tuple(document.id for document in documents)
    assert (np.stack(list(found.entries)) == expected).all()
    assert (made.documents, made.clusters, made.bad_records) == (50, 50, 0)
    assert not list(tmp_path.glob(".*"))


def test_equal_requests_give_equal_bytes(make_corpus: MakeCorpus, tmp_path: Path) -> None:
    path = make_corpus(40)
    for name in ("a.parquet", "b.parquet"):
        allocate_out_of_core(request_for(path, num_clusters=25), tmp_path / name)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_clusters_share_the_entries_of_their_texts_together(make_corpus: MakeCorpus, tmp_path: Path) -> None:
    path = make_corpus(20)
    made = allocate_out_of_core(request_for(path, num_clusters=10), tmp_path / "a.parquet")
    found = read_allocation(tmp_path / "a.parquet")
    assert found.clusters.tolist() == [n // 2 for n in range(20)]
    texts = [document.text for document in load_corpus(f"jsonl:{path}")]
    united = np.minimum(*(sign_texts(texts[start::2], Sketch(2, 16), 3) for start in (0, 1)))
    assert (np.stack(list(found.entries))[::2] == entries_by_signature(united, 256)).all()
    assert made.merge_similarity is not None
    assert 0.5 < made.merge_similarity < 1


def test_topics_are_those_of_the_engine_in_memory_in_parts_and_whole(
    make_corpus: MakeCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = request_for(make_corpus(100), num_clusters=12, cluster_by="topic")
    for engine in ("daft", "datasketch"):
        made = allocate_to_file(request, tmp_path / engine, engine)
        assert (made.clusters, made.cluster_by, made.merge_similarity) == (12, "topic", None)
    _small_parts(monkeypatch)
    allocate_out_of_core(request, tmp_path / "in parts")
    whole, small, in_parts = (read_allocation(tmp_path / name) for name in ("daft", "datasketch", "in parts"))
    assert whole.clusters.tolist() == small.clusters.tolist()
    assert read_allocation_manifest(tmp_path / "in parts") == read_allocation_manifest(tmp_path / "daft")
    for label in np.unique(whole.clusters).tolist():
        alike = [whole.entries[number].tolist() for number in np.flatnonzero(whole.clusters == label)]
        assert alike == [alike[0]] * len(alike)
    assert in_parts.num_clusters == 12


def test_clusters_at_a_similarity_are_the_same_in_parts_and_whole(
    make_corpus: MakeCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every second document is like the one before, but for a word or two."""
    request = request_for(make_corpus(100), min_similarity=0.5)
    made = allocate_out_of_core(request, tmp_path / "whole")
    assert (made.clusters, made.min_similarity, made.cluster_by) == (50, 0.5, None)
    assert read_allocation(tmp_path / "whole").clusters.tolist() == [number // 2 for number in range(100)]
    _small_parts(monkeypatch)
    allocate_out_of_core(request, tmp_path / "in parts")
    assert read_allocation_manifest(tmp_path / "in parts") == read_allocation_manifest(tmp_path / "whole")


def test_clusters_and_similarity_together_are_refused(make_corpus: MakeCorpus, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"--num-clusters 5 cannot be combined with --min-similarity 0\.5"):
        allocate_to_file(request_for(make_corpus(10), num_clusters=5, min_similarity=0.5), tmp_path / "a", "daft")
    assert not list(tmp_path.glob("*a*"))


def test_a_stopped_linkage_says_what_it_has_and_goes_on_from_there(
    make_corpus: MakeCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request, output = request_for(make_corpus(60), num_clusters=3), tmp_path / "a.parquet"
    allocate_out_of_core(request, tmp_path / "straight")
    keep, compared = linkage._keep, list[object]()

    def stopping(*arguments: object) -> None:
        keep(*arguments)  # type: ignore[arg-type]
        compared.append(arguments)
        if len(compared) == 20:
            raise KeyboardInterrupt

    monkeypatch.setattr(linkage, "_keep", stopping)
    with pytest.raises(
        KeyboardInterrupt, match=r"merged, which leaves \d+ clusters; bands that were compared are kept"
    ):
        allocate_out_of_core(request, output)
    assert not output.exists()
    monkeypatch.setattr(out_of_core, "sign_chunks", None)
    allocate_out_of_core(request, output)
    assert output.read_bytes() == (tmp_path / "straight").read_bytes()
    # Of the 16 + 32 + 64 + 128 bands each was compared once.
    assert len(compared) == 240
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("strategy", ["none", "random", "partitioned", "simset1", "simset3"])
def test_every_strategy_that_draws_alone_is_there(strategy: str, make_corpus: MakeCorpus, tmp_path: Path) -> None:
    allocate_out_of_core(request_for(make_corpus(10), strategy=strategy), tmp_path / "a.parquet")
    found = read_allocation(tmp_path / "a.parquet")
    assert {len(entries) for entries in found.entries} == {256 if strategy == "none" else 16}


@pytest.mark.parametrize("num_clusters", [None, 5])
def test_partitions_are_those_of_the_engine_in_memory(
    num_clusters: int | None, make_corpus: MakeCorpus, tmp_path: Path
) -> None:
    request = request_for(make_corpus(10), strategy="partitioned", num_clusters=num_clusters)
    made = [allocate_to_file(request, tmp_path / engine, engine) for engine in ("daft", "datasketch")]
    large, small = (read_allocation(tmp_path / engine) for engine in ("daft", "datasketch"))
    assert (np.stack(list(large.entries)) == np.stack(list(small.entries))).all()
    assert [(each.partition_by, each.entries_per_doc) for each in made] == [("size", 16)] * 2


def test_partitions_that_do_not_fit_are_refused_once_documents_are_counted(
    make_corpus: MakeCorpus, tmp_path: Path
) -> None:
    request = request_for(make_corpus(17), strategy="partitioned")
    with pytest.raises(RequestError, match="17 documents or clusters with --entries-per-doc 16 need 272 entries"):
        allocate_out_of_core(request, tmp_path / "a.parquet")
    assert not (tmp_path / "a.parquet").exists()
    for by in ("length", "whole"):
        with pytest.raises(RequestError, match=f"--allocation partitioned --partition-by {by} is for corpora that fit"):
            allocate_out_of_core(dataclasses.replace(request, partition_by=by), tmp_path / "a.parquet")


def test_malformed_records_are_set_aside_counted_and_named(make_corpus: MakeCorpus, tmp_path: Path) -> None:
    path = make_corpus(10)
    lines = path.read_text().split("\n")
    lines[2:2] = ["{no json", '{"id": "x"}', '{"id": "d0", "text": "again"}', '{"text": "half \\ud83d"}', "[1]"]
    path.write_text("\n".join(lines))
    output = tmp_path / "a.parquet"
    with pytest.raises(RequestError, match="malformed records are more than --max-bad 2"):
        allocate_out_of_core(request_for(path, max_bad=2), output)
    assert not output.exists()
    made = allocate_out_of_core(request_for(path, max_bad=5), output)
    assert (made.documents, made.bad_records) == (10, 5)
    quarantine = (tmp_path / "a.parquet.quarantine.jsonl").read_text()
    for reason in ("line 3: ", "not JSON", "`text` is missing", "duplicate document id 'd0'", "surrogate", "an object"):
        assert reason in quarantine.replace('", "reason": "', ": ")


def test_the_first_documents_are_those_of_more(make_corpus: MakeCorpus, tmp_path: Path) -> None:
    path = make_corpus(30)
    allocate_out_of_core(request_for(path, num_docs=7), tmp_path / "few.parquet")
    assert read_allocation(tmp_path / "few.parquet").document_ids == tuple(f"d{n}" for n in range(7))
    with pytest.raises(RequestError, match="has only 30 documents"):
        allocate_out_of_core(request_for(path, num_docs=31), tmp_path / "many.parquet")


def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(out_of_core, "PART_DOCUMENTS", 10)
    plan = out_of_core.plan_chunks
    monkeypatch.setattr(out_of_core, "plan_chunks", lambda kind, location: plan(kind, location, 1000))


def test_a_rerun_goes_on_from_the_parts_that_are_whole(
    make_corpus: MakeCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _small_parts(monkeypatch)
    path, sign = make_corpus(100), out_of_core.sign_chunks
    allocate_out_of_core(request_for(path), tmp_path / "straight.parquet")
    signed: list[int] = []

    def failing(*arguments: object) -> Iterator[SignedChunk]:
        for chunk in sign(*arguments):  # type: ignore[arg-type]
            signed.append(chunk.number)
            if len(signed) == 12:
                raise OSError(28, "No space left on device")
            yield chunk

    monkeypatch.setattr(out_of_core, "sign_chunks", failing)
    output = tmp_path / "a.parquet"
    with pytest.raises(OSError, match="No space left"):
        allocate_out_of_core(request_for(path), output)
    assert not output.exists()
    allocate_out_of_core(request_for(path), output)
    assert output.read_bytes() == (tmp_path / "straight.parquet").read_bytes()
    # The chunks of the part that was not whole are signed twice, all others once.
    assert len(signed) - len(set(signed)) < 6


@pytest.mark.parametrize("pattern", ["part-*0.parquet", "part-*.bad.jsonl", "part-*.sha256", "plan.json"])
def test_parts_of_which_a_bit_has_changed_are_signed_anew(
    make_corpus: MakeCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    _small_parts(monkeypatch)
    path, put_together, output = make_corpus(100), out_of_core.put_together, tmp_path / "a.parquet"
    with path.open("a") as file:
        file.write("no JSON\n")
    allocate_out_of_core(request_for(path, max_bad=1), tmp_path / "straight.parquet")

    def stop(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(out_of_core, "put_together", stop)
    with pytest.raises(KeyboardInterrupt):
        allocate_out_of_core(request_for(path, max_bad=1), output)
    monkeypatch.setattr(out_of_core, "put_together", put_together)
    changed = next(each for each in sorted((tmp_path / ".a.parquet.work").glob(pattern))[::-1] if each.stat().st_size)
    content = bytearray(changed.read_bytes())
    content[len(content) // 2] ^= 1
    changed.write_bytes(content)
    allocate_out_of_core(request_for(path, max_bad=1), output)
    assert output.read_bytes() == (tmp_path / "straight.parquet").read_bytes()
    quarantines = [tmp_path / f"{name}.parquet.quarantine.jsonl" for name in ("a", "straight")]
    assert quarantines[0].read_bytes() == quarantines[1].read_bytes()


def test_parts_of_another_corpus_are_not_gone_on_from(
    make_corpus: MakeCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _small_parts(monkeypatch)
    path, put_together = make_corpus(100), out_of_core.put_together

    def stop(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(out_of_core, "put_together", stop)
    with pytest.raises(KeyboardInterrupt):
        allocate_out_of_core(request_for(path), tmp_path / "a.parquet")
    monkeypatch.setattr(out_of_core, "put_together", put_together)
    make_corpus(60, first=1000)
    allocate_out_of_core(request_for(path), tmp_path / "a.parquet")
    assert read_allocation(tmp_path / "a.parquet").document_ids == tuple(f"d{n}" for n in range(1000, 1060))


def test_a_second_process_is_refused(make_corpus: MakeCorpus, tmp_path: Path) -> None:
    output = tmp_path / "a.parquet"
    with held_folder(work_folder(output), LOCK, ""), pytest.raises(RequestError, match="another process"):
        allocate_out_of_core(request_for(make_corpus(4)), output)
    assert not output.exists()


def _command(path: Path, output: Path) -> list[str]:
    command = Path(sys.executable).with_name("simset-bench")
    return [str(command), "allocate", "--corpus", f"jsonl:{path}", "--output", str(output), "--engine", "daft"]


@pytest.mark.slow
def test_a_killed_process_leaves_no_output_and_a_rerun_makes_it_whole(make_corpus: MakeCorpus, tmp_path: Path) -> None:
    path, output = make_corpus(150_000), tmp_path / "a.parquet"
    process = subprocess.Popen(_command(path, output), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    while not list(tmp_path.glob(".a.parquet.work/part-*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not output.exists()
    again = subprocess.run(_command(path, output), capture_output=True, text=True, timeout=300)
    assert again.returncode == 0, again.stderr
    assert "going on with chunk" in again.stderr
    found = pq.read_table(output, columns=["document"])["document"].to_pylist()
    assert found == [f"d{n}" for n in range(150_000)]


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_a_rerun_goes_on(make_corpus: MakeCorpus, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        path, output = make_corpus(60_000), disk / "a.parquet"
        full = subprocess.run(_command(path, output), capture_output=True, text=True, timeout=300)
        assert full.returncode != 0
        assert "no room left to write" in full.stderr
        assert "Traceback" not in full.stderr
        assert not output.exists()
        subprocess.run(["mount", "-o", "remount,size=200m", disk], check=True)
        again = subprocess.run(_command(path, output), capture_output=True, text=True, timeout=300)
        assert again.returncode == 0, again.stderr
        assert read_allocation_manifest(output).documents == 60_000
    finally:
        subprocess.run(["umount", disk], check=True)
