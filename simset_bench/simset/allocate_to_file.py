"""Chooses the engine that makes an allocation: datasketch in memory, or Daft out of core."""

import importlib.util
from dataclasses import asdict
from itertools import islice
from pathlib import Path

from simset_bench.console import note
from simset_bench.corpora.bad_records import BadRecord, Quarantine
from simset_bench.corpora.documents import hash_documents
from simset_bench.errors import RequestError, missing_extra, unknown_name
from simset_bench.files import check_replaceable, check_writable_folder
from simset_bench.simset.allocation import allocate
from simset_bench.simset.large.allocate import AllocationRequest, allocate_out_of_core
from simset_bench.simset.one_writer import OutputWork, check_free, held_output, work_folder
from simset_bench.simset.store import Manifest, read_allocation_manifest
from simset_bench.simset.store_writer import write_allocation
from simset_bench.simset.strategies import find_strategy

ENGINES = ("datasketch", "daft")
# Corpora of more documents go to Daft unless the engine is named: from about here on it is the faster one.
MOST_IN_MEMORY = 20_000


def allocate_to_file(
    request: AllocationRequest, output: Path, engine: str | None = None, overwrite: bool = True
) -> Manifest:
    """Allocate entries to the documents of a corpus and write the allocation to `output`.

    `engine` None chooses by the corpus's size. Raises RequestError for an unknown engine or one that is not installed,
    for what `allocate` or `allocate_out_of_core` refuse, where another process is writing the same output, and unless
    `overwrite` for an output that is there.
    """
    if not output.name:
        raise RequestError(f"--output {output}: is a folder and not a file")
    check_replaceable(output)
    request.check()
    check_free(output, overwrite)
    check_writable_folder(output.parent)
    chosen = engine or _engine_for(request)
    if chosen not in ENGINES:
        raise unknown_name("--engine", chosen, ENGINES)
    if request.ray_address is not None and chosen != "daft":
        raise RequestError(f"--ray {request.ray_address}: is for --engine daft, not {chosen}")
    if chosen == "daft":
        note("engine daft" + ("" if engine else f": more than {MOST_IN_MEMORY} documents"))
        if not importlib.util.find_spec("daft"):
            raise missing_extra("daft", "--engine daft")
        return allocate_out_of_core(request, output, overwrite)
    with held_output(output, asdict(request), work_folder(output)) as place:
        place.check_free(overwrite)
        if not place.is_written:
            _allocate_in_memory(request, output, place)
    return read_allocation_manifest(output)


def _allocate_in_memory(request: AllocationRequest, output: Path, place: OutputWork) -> None:
    quarantine = Quarantine(output, request.max_bad)
    documents = request.corpus.load(quarantine.add)
    numbers = (request.num_entries, request.entries_per_doc, request.seed, request.num_clusters)
    ways = (request.partition_by, request.cluster_by, request.min_similarity)
    allocation = allocate(documents, request.strategy, *numbers, *ways)
    corpus = asdict(request.corpus) | {"sha256": hash_documents(documents)}
    quarantine.close()
    write_allocation(allocation, output, corpus, len(quarantine.records), place.will_write)


def _engine_for(request: AllocationRequest) -> str:
    if request.ray_address is not None:
        return "daft"
    if not find_strategy(request.strategy).draws_alone(request.draw_options) or not _is_large(request):
        return "datasketch"
    if importlib.util.find_spec("daft"):
        return "daft"
    note("this corpus is large: pip install 'simset-bench[scale]' brings Daft, which is faster and needs less memory")
    return "datasketch"


def _is_large(request: AllocationRequest) -> bool:
    if request.corpus.num_docs is not None:
        return request.corpus.num_docs > MOST_IN_MEMORY
    bad: list[BadRecord] = []
    first = islice(request.corpus.stream(bad.append), MOST_IN_MEMORY + 1)
    return sum(1 for _ in first) > MOST_IN_MEMORY
