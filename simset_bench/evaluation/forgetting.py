"""A run whose memory is without some of its documents, and what is gone and what it cost."""

import copy
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from simset_bench.console import note
from simset_bench.corpora.documents import Document, hash_documents
from simset_bench.errors import RequestError, check_count, did_you_mean
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.probes.fact_bits import asked_facts, fact_bits
from simset_bench.evaluation.probes.facts_lost import FORM
from simset_bench.evaluation.probes.location import LocationProbe
from simset_bench.evaluation.run import BATCH_SIZE
from simset_bench.models.loading import load_base
from simset_bench.models.memory import Memory, attached
from simset_bench.models.memory_file import save_memory
from simset_bench.simset.allocation import Allocation, in_order
from simset_bench.simset.store import read_allocation
from simset_bench.simset.strategies import strategy_of_allocation
from simset_bench.training import run_folder as folders
from simset_bench.training.allocations import store_allocation
from simset_bench.training.chain import CHAIN, FORGOT, NEW_DOCUMENTS, as_json
from simset_bench.training.checkpoint import Progress
from simset_bench.training.config import TrainConfig
from simset_bench.training.data.hidden_states_on_disk import cached_states
from simset_bench.training.data.segments import segment_documents
from simset_bench.training.forget import EntriesToEmpty, entries_to_empty, without_documents
from simset_bench.training.manifest import write_manifest
from simset_bench.training.method_options import MEMORY
from simset_bench.training.methods.memory import new_memory
from simset_bench.training.open_run import LoadedRun, check_revision, open_run
from simset_bench.training.prepare import background_hash, begin
from simset_bench.training.train_in_folder import write_metrics

# Of the documents that share entries, and of the others, as many are measured at most.
MEASURED = 64
STEPS = 100


def forget(folder: Path, ids: Sequence[str], root: Path, steps: int = STEPS, *, overwrite: bool = False) -> Path:
    """Make a run below `root` from a finished one, with a memory that is without some documents; returns its folder.

    Entries that only they have are emptied. Those that others share are emptied too, and refitted for so many steps on
    the documents that share them. The manifest records under `forgot` which run it was, what was done, and what is gone
    and what it cost (`_measured`). The same request again gives the run that is there.
    Raises RequestError for a run without entries of its documents, an unknown id, and where nothing would be left.
    """
    check_count("--steps", steps, 0)
    run = _checked(folder, ids)
    manifest = folders.read_manifest(folder)
    hashes, chain = manifest["hashes"], folders.read_chain(folder, manifest)
    documents, allocation = _in_order_of_file(run)
    numbers = [number for number, document in enumerate(documents) if document.id in set(ids)]
    left = [number for number in range(len(documents)) if number not in set(numbers)]
    base = load_base(run.config.model, run.config.dtype, run.config.device)
    check_revision(folder, run.config.model, run.base_revision, base)
    place = folders.run_folder(root, base.name, run.config, len(chain) + 1)
    place = place.with_name(f"{place.name}_forgot_{_key(hashes['memory'], ids, steps)}")
    kept = [documents[number] for number in left]
    made_of = {"model": base.revision, "corpus": hash_documents(kept), "forgot_memory": hashes["memory"]}
    made_of |= background_hash(run.config, documents)
    with folders.held(place):
        if not begin(place, run.config, made_of, resume=False, overwrite=overwrite):
            note(f"already forgotten: {place} (--overwrite makes it anew)")
            return place
        lm, entries = MemoryLM(base, BATCH_SIZE), entries_to_empty(allocation, numbers)
        memory = copy.deepcopy(cast(Memory, run.memory)).to(base.device)
        groups = _groups(len(documents), numbers, entries)
        scores = _scorer(lm, run.config, documents, groups)
        bare, before = scores(None), scores(memory)
        progress = without_documents(run.config, base, memory, documents, allocation, entries, steps)
        measured = _measured(groups, base=bare, before=before, after=scores(memory))
        record = {
            "run": str(folder),
            "hashes": hashes,
            "documents": [documents[number].id for number in numbers],
            "steps": progress.step,
            "entries_emptied": int(entries.alone.sum()),
            "entries_refitted": int(entries.shared.sum()),
            "documents_sharing": len(entries.sharers),
            "measures": measured,
        }
        save_memory(memory, place / folders.MEMORY_FILE)
        corpora = [stage.corpus for stage in chain]
        stored = store_allocation(place, run.config, in_order(allocation, left), kept, corpora, is_part=True)
        counts: dict[str, Any] = {name: manifest[name] for name in ("segments", "tokens") if name in manifest}
        counts |= {"documents": len(kept), FORGOT: [*manifest.get(FORGOT, []), record]}
        if chain:
            counts |= {CHAIN: as_json(chain)}
            counts[NEW_DOCUMENTS] = [each for each in manifest.get(NEW_DOCUMENTS, []) if each not in ids]
        write_metrics(place, progress)
        recorded = Progress(progress.step, epochs=progress.epochs, made_of=made_of | {"allocation": stored})
        write_manifest(place, run.config, base, counts, recorded)
    return place


def _checked(folder: Path, ids: Sequence[str]) -> LoadedRun:
    run = open_run(folder)
    if not isinstance(run, LoadedRun) or run.config.method != MEMORY:
        raise RequestError(f"{folder}: method {run.config.method} gives documents no entries that could be emptied")
    if run.config.allocation_file is not None:
        raise RequestError(f"{folder}: a run that streamed its documents cannot be made to forget one of them")
    if strategy_of_allocation(run.config.allocation).gives_all:
        raise RequestError(
            f"{folder}: under allocation {run.config.allocation} every document has all entries, so that none can be "
            "forgotten without the others"
        )
    known = [document.id for document in run.documents]
    for each in ids:
        if each not in known:
            raise RequestError(f"--doc {each}: {folder} has memorised no such document{did_you_mean(each, known)}")
    if len(set(ids)) == len(known):
        raise RequestError(f"--doc: these are all {len(known)} documents of {folder}, and none would be left")
    return run


def _in_order_of_file(run: LoadedRun) -> tuple[list[Document], Allocation]:
    """The run's documents and their entries in the order in which they were memorised."""
    allocation = read_allocation(run.folder / folders.ALLOCATION)
    of = {document.id: document for document in run.documents}
    return [of[each] for each in allocation.document_ids], allocation


def _key(memory: str, ids: Sequence[str], steps: int) -> str:
    return hashlib.sha256(json.dumps([memory, sorted(set(ids)), steps]).encode()).hexdigest()[:8]


def _groups(documents: int, forgotten: Sequence[int], entries: EntriesToEmpty) -> dict[str, list[int]]:
    """Numbers of the forgotten documents, of those that share entries with them, and of the others."""
    others = [n for n in range(documents) if n not in {*forgotten, *entries.sharers}]
    groups = {"forgotten": list(forgotten), "sharing": [*entries.sharers][:MEASURED], "others": others[:MEASURED]}
    return {name: numbers for name, numbers in groups.items() if numbers}


# By group of documents, means by the name of the measure.
Scores = dict[str, dict[str, float]]


def _scorer(
    lm: MemoryLM, config: TrainConfig, documents: Sequence[Document], groups: Mapping[str, Sequence[int]]
) -> Callable[[Memory | None], Scores]:
    """A function that gives the mean NLL of documents, and the mean bits of their facts where they have some, by group:
    of a memory, or for None of the base without one."""
    layer, base = int(config.layer), lm.base
    chosen = [documents[number] for numbers in groups.values() for number in numbers]
    group_of = np.array([name for name, numbers in groups.items() for _ in numbers])
    of_fact = np.array([name for name, document in zip(group_of, chosen, strict=True) for _ in document.facts])
    segments = segment_documents(chosen, base.tokenizer, config.max_tokens)
    probe = LocationProbe(base, layer, segments, cached_states(base, [layer], segments, layer))
    asked = asked_facts(lm, layer, [fact for document in chosen for fact in document.facts], FORM)

    @torch.no_grad()
    def scores(memory: Memory | None) -> Scores:
        silent = memory is None
        using = memory or new_memory(config, base)
        on = torch.full((len(chosen), config.entries), 1.0, device=base.device)
        with attached(base.model, base.blocks[layer], using) as active, active.aside() if silent else nullcontext():
            nll = probe.nll(active, range(len(chosen)), on)
            bits = fact_bits(active, base.model, asked, on[:1].expand(len(of_fact), -1))[0] if asked else None
        measured = {name: {"nll": float(nll[group_of == name].mean())} for name in groups}
        if bits is not None:
            for name in dict.fromkeys(of_fact.tolist()):
                measured[name]["bits"] = float(bits[of_fact == name].mean())
        return measured

    return scores


def _measured(groups: Mapping[str, Sequence[int]], **when: Scores) -> dict[str, dict[str, float]]:
    """By group of documents how many were measured, and each measure of the base, before and after:

    - `nll_base`, `nll_before`, `nll_after`: mean over documents of the NLL a token, in nats
    - `bits_base`, `bits_before`, `bits_after`: mean bits of their facts in words of no document, where they have facts

    What is `forgotten` should come to what the base says of it; what the others lose is what it cost.
    """
    measured: dict[str, dict[str, float]] = {}
    for name, numbers in groups.items():
        values = {
            f"{measure}_{time}": scores[name][measure]
            for measure in ("nll", "bits")
            for time, scores in when.items()
            if measure in scores[name]
        }
        measured[name] = {"documents": len(numbers), **values}
    return measured
