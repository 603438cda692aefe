"""Allocates entries to a corpus of any size: Daft signs it in parts, which are then put together on disk."""

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from simset_bench.console import note, progress_bar
from simset_bench.corpora.bad_records import Quarantine
from simset_bench.corpora.in_parts.chunks import Chunk, plan_chunks
from simset_bench.corpora.in_parts.staging import STAGED_FORM, stage
from simset_bench.corpora.load import CorpusOptions, split_spec
from simset_bench.errors import RequestError, check_count, said_when_interrupted
from simset_bench.files import is_sealed, sealed_file, sha256_of_texts, write_json
from simset_bench.simset.allocation import CLUSTER_HASHES, CLUSTER_SHINGLE_WORDS, check_allocation
from simset_bench.simset.clusters import LINKAGE, TOPIC, Clustering, Clusters, check_num_clusters
from simset_bench.simset.large.assemble import (
    find_duplicates,
    read_parts,
    rows_of_parts,
    union_signatures,
    write_parts_as_file,
)
from simset_bench.simset.large.sign import AnySketch, SignedChunk, Sketch, TopicSketch, sign_chunks
from simset_bench.simset.linkage import forget_kept
from simset_bench.simset.lookup import write_lookup
from simset_bench.simset.merging import merge
from simset_bench.simset.one_writer import OutputWork, held_output, work_folder
from simset_bench.simset.shingles import NORMALISATION
from simset_bench.simset.signatures import DAFT_SCHEME
from simset_bench.simset.store import Manifest, library_version, read_allocation_manifest
from simset_bench.simset.strategies import DrawOptions, find_strategy
from simset_bench.strict_json import read_json

# Documents in a part. A run that goes on after a fault repeats at most one part.
PART_DOCUMENTS = 1 << 16
_PLAN = "plan.json"


@dataclass(frozen=True)
class AllocationRequest:
    """A corpus, how its documents get entries, and how many malformed records are set aside.

    `num_clusters`, `min_similarity` and `cluster_by` say how documents are merged (`Clustering`). At most `max_bad`
    malformed records are set aside.
    """

    corpus: CorpusOptions
    strategy: str
    num_entries: int
    entries_per_doc: int
    seed: int
    num_clusters: int | None = None
    max_bad: int = 0
    ray_address: str | None = None
    partition_by: str = "size"
    cluster_by: str | None = None
    min_similarity: float | None = None

    @property
    def clustering(self) -> Clustering:
        """How documents are merged."""
        return Clustering(self.num_clusters, self.min_similarity, self.cluster_by)

    @property
    def draw_options(self) -> DrawOptions:
        """The numbers that entries are drawn by."""
        return DrawOptions(self.num_entries, self.entries_per_doc, self.seed, self.partition_by)

    def check(self) -> None:
        """Raise RequestError for options that no allocation can have, before any document is read."""
        for option, value in (("--num-docs", self.corpus.num_docs), ("--num-clusters", self.num_clusters)):
            if value is not None:
                check_count(option, value)
        self.clustering.check_asked()
        check_allocation(self.strategy, self.draw_options, self.clustering.units(self.corpus.num_docs))


def allocate_out_of_core(request: AllocationRequest, output: Path, overwrite: bool = True) -> Manifest:
    """Allocate entries to the documents of a corpus and write `output` with its index for lookups.

    Parts are kept in the folder `.OUTPUT.work` until `output` is whole; after a fault the same request goes on with
    them. Malformed records go to `OUTPUT.quarantine.jsonl`. Raises RequestError for a wrong request, for more malformed
    records than allowed, where another process is writing the same output, and unless `overwrite` for an output that is
    there.
    """
    check_large(request)
    work = work_folder(output)
    quarantine = Quarantine(output, request.max_bad)
    going_on = said_when_interrupted(lambda: f"finished parts are kept in {work}, and the same command goes on")
    with going_on, held_output(output, dataclasses.asdict(request), work) as place:
        place.check_free(overwrite)
        if not place.is_written:
            parts = signed_parts(request, work, quarantine)
            put_together(request, parts, quarantine, place, output)
        write_lookup(output)
    return read_allocation_manifest(output)


def put_together(
    request: AllocationRequest, parts: list[Path], quarantine: Quarantine, place: OutputWork, output: Path
) -> Manifest:
    """Write the allocation of signed parts: set duplicates aside, merge clusters, draw entries."""
    work = place.folder
    dropped = find_duplicates(parts, np.empty(0, np.uint64), quarantine)
    documents = sum(pq.read_metadata(part.absolute()).num_rows for part in parts) - len(dropped)
    _check_count(request, documents)
    clusters, united = _merged(request, parts, dropped, documents, work)
    strategy, count = find_strategy(request.strategy), clusters.count
    strategy.check(request.draw_options, count)
    manifest = Manifest(
        strategy=request.strategy,
        num_entries=request.num_entries,
        entries_per_doc=request.num_entries if strategy.gives_all else request.entries_per_doc,
        seed=request.seed,
        scheme=DAFT_SCHEME,
        library=library_version("daft"),
        corpus=dataclasses.asdict(request.corpus),
        clusters=count,
        merge_similarity=clusters.merge_similarity,
        bad_records=len(quarantine.records),
        partition_by=request.partition_by if strategy.is_cut else None,
        cluster_by=request.clustering.recorded_method(documents),
        min_similarity=request.min_similarity,
    )
    quarantine.close()
    rows = rows_of_parts(read_parts(parts, dropped), manifest, clusters.labels, united)
    return write_parts_as_file(rows, manifest, output, place.will_write)


def _check_count(request: AllocationRequest, documents: int) -> None:
    spec, num_docs = request.corpus.corpus, request.corpus.num_docs
    if not documents:
        raise RequestError(f"corpus {spec}: no documents")
    if num_docs is not None and documents < num_docs:
        raise RequestError(f"--num-docs {num_docs}: corpus {spec} has only {documents} documents")


def _merged(
    request: AllocationRequest, parts: list[Path], dropped: np.ndarray, documents: int, work: Path
) -> tuple[Clusters, np.ndarray | None]:
    clustering = request.clustering
    if clustering.num_clusters is not None:
        check_num_clusters(clustering.num_clusters, documents)
    if not clustering.merges(documents):
        return Clusters(np.arange(documents, dtype=np.uint32), None), None
    compared = _compared(request, parts, dropped, documents, work)
    clusters = merge(compared, clustering, request.seed, work)
    if not find_strategy(request.strategy).follows_text:
        return clusters, None
    return clusters, union_signatures(read_parts(parts, dropped), clusters, work)


def _compared(
    request: AllocationRequest, parts: list[Path], dropped: np.ndarray, documents: int, work: Path
) -> np.memmap:
    """What documents are merged by, a row for each, mapped from a file in `work`."""
    place = list(sketches_of(request)).index(request.clustering.method(documents))
    compared: np.memmap | None = None
    start = 0
    for part in read_parts(parts, dropped):
        rows = part.signatures[place]
        if compared is None:
            compared = np.lib.format.open_memmap(work / "compared.npy", "w+", rows.dtype, (documents, rows.shape[1]))
        compared[start : start + len(part.ids)] = rows
        start += len(part.ids)
    assert compared is not None
    return compared


def check_large(request: AllocationRequest) -> None:
    """Raise RequestError for options that do not fit together, and for those that only the engine in memory knows."""
    request.check()
    strategy = find_strategy(request.strategy)
    if not strategy.draws_alone(request.draw_options):
        cut = f" --partition-by {request.partition_by}" if strategy.is_cut else ""
        raise RequestError(
            f"--allocation {request.strategy}{cut} is for corpora that fit into memory: use --engine datasketch"
        )


def sketches_of(request: AllocationRequest) -> dict[str, AnySketch]:
    """What a request signs: the signatures that entries follow from, then by its method what clusters are merged by.

    Where the number of documents decides how they are merged, and is not known yet, there is something for both ways.
    """
    words = find_strategy(request.strategy).signed_words
    sketches: dict[str, AnySketch] = {"entries": Sketch(words, request.entries_per_doc)} if words else {}
    clustering, documents = request.clustering, request.corpus.num_docs
    if clustering.num_clusters is None and clustering.min_similarity is None:
        return sketches
    compared: dict[str, AnySketch] = {LINKAGE: Sketch(CLUSTER_SHINGLE_WORDS, CLUSTER_HASHES), TOPIC: TopicSketch()}
    if documents is None and clustering.by is None and clustering.min_similarity is None:
        return sketches | compared
    method = clustering.method(documents or 0)
    return sketches | {method: compared[method]}


def signed_parts(request: AllocationRequest, work: Path, quarantine: Quarantine) -> list[Path]:
    """Files of ids and signatures for all documents of a corpus, in its order; those of an earlier attempt are kept."""
    chunks = _chunks(request, work)
    identity = {"chunks": [_with_state(chunk) for chunk in chunks], "request": _signing_options(request)}
    plan = {"identity": sha256_of_texts([json.dumps(identity, sort_keys=True)])}
    parts = sorted(work.glob("part-*.parquet"))
    if parts and _read_json(work / _PLAN) != plan:
        note("the unfinished parts belong to another corpus or other options: starting over")
        for part in [*parts, *work.glob("part-*.bad.jsonl")]:
            part.unlink()
        forget_kept(work)
        parts = []
    write_json(work / _PLAN, plan)
    parts = _sound(parts)
    done = 0
    for part in parts:
        done = _stop_of(part)
        quarantine.extend(_bad_of(part))
    if parts and done < len(chunks):
        note(f"going on with chunk {done + 1} of {len(chunks)}")
    limit = request.corpus.num_docs
    documents = sum(pq.read_metadata(part.absolute()).num_rows for part in parts)
    if done < len(chunks) and (limit is None or documents < limit):
        signed = sign_chunks(
            chunks[done:],
            done,
            request.corpus.group_by,
            list(sketches_of(request).values()),
            request.seed,
            request.ray_address,
        )
        remaining = None if limit is None else limit - documents
        parts += write_parts(_bar(_first(signed, remaining), done, len(chunks)), work, quarantine)
    return parts


def _sound(parts: list[Path]) -> list[Path]:
    """The parts up to the first one that is not what was written; those from there on are removed."""
    whole = [is_sealed(part) and is_sealed(part.with_suffix(".bad.jsonl")) for part in parts]
    sound = parts[: whole.index(False)] if not all(whole) else parts
    if len(sound) < len(parts):
        note(f"{parts[len(sound)]}: damaged, signed anew from there on")
        for part in parts[len(sound) :]:
            part.unlink()
    return sound


def _chunks(request: AllocationRequest, work: Path) -> list[Chunk]:
    corpus = request.corpus
    kind, location = split_spec(corpus.corpus)
    # The articles of one topic may lie in many chunks, so topics cannot be read chunk by chunk.
    cut = None if corpus.match_subjects or corpus.group_by == "topic" else plan_chunks(kind, location)
    if cut is None:
        source = json.dumps([dataclasses.asdict(corpus), _state(location), STAGED_FORM], sort_keys=True)
        folder = work / f"staged-{sha256_of_texts([source])[:16]}"
        folder.mkdir(exist_ok=True)
        cut = stage(corpus, folder)
    if not cut:
        raise RequestError(f"corpus {corpus.corpus}: no documents")
    return cut


def _with_state(chunk: Chunk) -> dict[str, Any]:
    return dataclasses.asdict(chunk) | {"state": _state(chunk.path)}


def _state(location: str) -> list[int]:
    """Size and modification time of a file: parts of an input that has since changed must not be used."""
    path = Path(location)
    return [path.stat().st_size, path.stat().st_mtime_ns] if location and path.is_file() else []


def _signing_options(request: AllocationRequest) -> list[Any]:
    sketches = [dataclasses.asdict(sketch) for sketch in sketches_of(request).values()]
    return [
        dataclasses.asdict(request.corpus),
        sketches,
        request.seed,
        DAFT_SCHEME,
        library_version("daft"),
        NORMALISATION,
    ]


def _read_json(path: Path) -> Any:
    """What a JSON file of ours holds, None where it is absent or damaged."""
    try:
        return read_json(path)
    except (OSError, ValueError):
        return None


def _bar(signed: Iterator[SignedChunk], done: int, total: int) -> Iterator[SignedChunk]:
    with progress_bar() as bar:
        shown = bar.add_task("signing", total=total, completed=done)
        for chunk in signed:
            yield chunk
            bar.advance(shown)


def _first(signed: Iterator[SignedChunk], documents: int | None) -> Iterator[SignedChunk]:
    """The chunks of the first `documents` documents; the last one is cut."""
    for chunk in signed:
        if documents is not None and len(chunk.ids) >= documents:
            kept = tuple(signatures[:documents] for signatures in chunk.signatures)
            yield dataclasses.replace(chunk, ids=chunk.ids[:documents], signatures=kept)
            return
        documents = None if documents is None else documents - len(chunk.ids)
        yield chunk


def write_parts(signed: Iterator[SignedChunk], work: Path, quarantine: Quarantine) -> list[Path]:
    """Write signed chunks to files of about PART_DOCUMENTS documents, each with its malformed records beside it."""
    parts, batch, documents = list[Path](), list[SignedChunk](), 0
    for chunk in signed:
        quarantine.extend(chunk.bad.to_pylist())
        batch.append(chunk)
        documents += len(chunk.ids)
        if documents >= PART_DOCUMENTS:
            parts.append(_write_part(batch, work))
            batch, documents = [], 0
    return parts + ([_write_part(batch, work)] if batch else [])


def _write_part(batch: list[SignedChunk], work: Path) -> Path:
    columns = {"id": pa.chunked_array([chunk.ids for chunk in batch], pa.large_string())}
    for number, signatures in enumerate(zip(*(chunk.signatures for chunk in batch), strict=True)):
        matrix = np.concatenate(signatures)
        flat = pa.array(matrix.reshape(-1))
        columns[f"signature{number}"] = pa.FixedSizeListArray.from_arrays(flat, matrix.shape[1])
    path = work / f"part-{batch[0].number:06d}-{batch[-1].number + 1:06d}.parquet"
    bad = [record for chunk in batch for record in chunk.bad.to_pylist()]
    # Malformed records are written first, so that no part is without them.
    with sealed_file(path.with_suffix(".bad.jsonl")) as temporary:
        temporary.write_text("".join(json.dumps(record) + "\n" for record in bad), encoding="utf-8")
    with sealed_file(path) as temporary:
        pq.write_table(pa.table(columns), temporary.absolute(), use_dictionary=False, compression="none")
    return path


def _stop_of(part: Path) -> int:
    return int(part.stem.rsplit("-", 1)[1])


def _bad_of(part: Path) -> list[dict[str, str]]:
    lines = part.with_suffix(".bad.jsonl").read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line]
