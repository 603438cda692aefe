"""Whether a document that was erased comes back when the memory goes on learning."""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch

from simset_bench.console import note, track
from simset_bench.corpora.documents import Document
from simset_bench.errors import RequestError
from simset_bench.evaluation.estimates import Scored
from simset_bench.evaluation.probes.fact_bits import asked_facts, fact_bits
from simset_bench.evaluation.probes.kin import most_similar_first, relatives, similarities, word_sets
from simset_bench.evaluation.probes.location import LocationProbe
from simset_bench.evaluation.probes.records import record, scored
from simset_bench.evaluation.subject import Subject
from simset_bench.evaluation.task_options import TaskOptions
from simset_bench.models.memory import BlockMemory, Memory, attached
from simset_bench.training.checkpoint import Progress
from simset_bench.training.config import TrainConfig
from simset_bench.training.data.batches import SegmentsInMemory
from simset_bench.training.data.hidden_states import HiddenCache, segment_starts
from simset_bench.training.data.hidden_states_on_disk import cached_states
from simset_bench.training.data.segments import Segment
from simset_bench.training.methods.learner import Memorised
from simset_bench.training.methods.memory import memory_learner
from simset_bench.training.open_run import LoadedRun
from simset_bench.training.sweep.fleet import train_members
from simset_bench.training.sweep.fleet_passes import Fleet
from simset_bench.training.trainer import Member, make_optimizer, train

# Documents erased unless `--limit` says how many, and the most kin and strangers that follow each.
DOCUMENTS = 3
NEIGHBORS = 4
STEPS = (0, 1, 3, 10, 30, 100)
KIN, STRANGERS, ITSELF = "kin", "strangers", "itself"
# Wordings that no document holds: a fact has come back when they recall it, not when its text has.
FORM = "paraphrase"
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Erasure:
    """A document to erase, and the numbers of the documents that the memory then learns, by their sort."""

    document: int
    learned: dict[str, list[int]]


def relearning(subject: Subject, options: TaskOptions) -> Scored:
    """What is recalled of erased documents while the memory learns others, beside a memory that never saw them.

    One document at a time is erased (`without_entries`). Then the memory learns for 100 steps its kin, or strangers, or
    the document itself; see `erasures`. The other memory, the control, was trained by the run's own recipe on the
    documents that are not erased, and learns the same.
    - `nll_before`: NLL of the document in nats a token before it is erased
    - `relearned_nll_SORT`, `control_nll_SORT`: its NLL by the erased memory and by the control after 100 steps on
      documents of a sort
    - `resurfaced_nll_SORT`: the control's less the erased memory's; above 0 more of the document has come back than a
      memory that never saw it would know by then
    - `bits_before`, `relearned_bits_SORT`, `control_bits_SORT`: the same of the bits of its facts, where it has some
    - `resurfaced_bits_SORT`: the erased memory's less the control's

    `groups` has all of them after 0, 1, 3, 10, 30 and 100 steps. Raises RequestError for fewer than three documents,
    for documents that have all entries, for a run that streamed its documents, for a recall mode other than free, and
    where a training diverges.
    """
    _check(subject, options)
    run, base = subject.memory_run, subject.lm.base
    layer = int(run.config.layer)
    chosen = erasures(subject.documents, options.limit or DOCUMENTS)
    segments = subject.segments(subject.documents)
    cache = cached_states(base, [layer], segments, layer)
    probe = LocationProbe(base, layer, segments, cache)
    precision = torch.get_float32_matmul_precision()
    try:
        control = _control(subject, segments, {erasure.document for erasure in chosen})
        curves = [
            (erasure, _curves(subject, probe, erasure, control)) for erasure in track(chosen, "erasing and relearning")
        ]
    finally:
        # Training on a GPU lowers it.
        torch.set_float32_matmul_precision(precision)
    steps: dict[str, list[dict[str, Any]]] = {str(number): [] for number in STEPS}
    for erasure, curve in curves:
        document = subject.documents[erasure.document]
        for number, measures in curve.items():
            steps[str(number)].append(record(document, document.id, document.text, measures))
    return scored(steps[str(STEPS[-1])], {"steps": steps})


def _check(subject: Subject, options: TaskOptions) -> None:
    run = subject.memory_run
    if options.recall != "free":
        raise RequestError(
            f"task relearning: --recall {options.recall} switches entries by document, and what is erased is gone "
            "for all of them, so use --recall free"
        )
    if run.config.allocation_file is not None:
        raise RequestError("task relearning trains a memory on all documents, and this run streamed its own")
    if run.config.continued_from is not None:
        raise RequestError(
            "task relearning trains a memory on all other documents at once, and this run learned its own in stages"
        )
    if run.allocation.mask(range(len(subject.documents))).all():
        raise RequestError(
            f"task relearning: under allocation {run.config.allocation} each document has all entries, so that none is "
            "left to learn"
        )
    if len(subject.documents) < 3:
        raise RequestError("task relearning needs three documents: one to erase, one like it, and another")


def erasures(documents: Sequence[Document], count: int) -> list[Erasure]:
    """Up to `count` of at least three documents to erase, at most a third of all, and what is learned afterwards.

    They are the first that are not kin of one before. Kin of a person are the relatives, from the most similar text
    down; kin of another document are the most similar ones (Jaccard of words). Strangers are as many of the least
    similar other documents. There are at most four of each, and none of them is erased itself.
    """
    count = min(count, len(documents) // 3)
    words = word_sets(documents)
    most = min(NEIGHBORS, (len(documents) - count) // 2)
    kin_of: dict[int, list[int]] = {}
    related: set[int] = set()
    for place in range(len(documents)):
        if len(kin_of) == count:
            break
        if place in related:
            continue
        family = relatives(documents, place)
        others = [other for other in range(len(documents)) if other != place and other not in kin_of]
        kin_of[place] = most_similar_first(similarities(words, place), family or others)[:most]
        related |= {*kin_of[place], *family}
    chosen = []
    for place, kin in kin_of.items():
        near = {*kin, *kin_of, *relatives(documents, place)}
        others = [other for other in range(len(documents)) if other not in near]
        strangers = most_similar_first(similarities(words, place), others)[-len(kin) :]
        learned = {KIN: kin, STRANGERS: strangers, ITSELF: [place]}
        chosen.append(Erasure(place, {sort: numbers for sort, numbers in learned.items() if numbers}))
    return chosen


def without_entries(memory: Memory, erased: np.ndarray) -> Memory:
    """A copy of a memory in which all weights of the entries `erased` (entries,) bool are 0.

    It computes what the memory does with their activations multiplied by 0. Their gradients are 0 too, whichever the
    activation function, so that training leaves them erased.
    """
    left = copy.deepcopy(memory).requires_grad_(True)
    gone = torch.from_numpy(erased).to(left.up_weight.device)
    with torch.no_grad():
        left.up_weight[gone] = 0
        left.up_bias[gone] = 0
        left.down_weight[:, gone] = 0
    return left


def _control(subject: Subject, segments: Sequence[Segment], erased: set[int]) -> Memory:
    """A memory trained as the run's was, on all of its documents but those erased."""
    run, base = subject.memory_run, subject.lm.base
    kept = [segment for segment in segments if segment.document not in erased]
    note(f"relearning: training a memory that never saw the {len(erased)} documents to erase")
    with memory_learner(run.config, base, Memorised(list(subject.documents), run.allocation, kept)) as learner:
        batches = learner.make_batches()
        member = Member(
            learner.module,
            make_optimizer(learner.module, learner.config),
            [Progress()],
            config=learner.config,
            masks=learner.masks(batches),
        )
        try:
            train(base, member, batches, learner.run_pass, lambda _progress: None, lambda _progress: None)
        except FloatingPointError as error:
            raise RequestError(f"task relearning: {error}") from error
        return cast(Memory, learner.module)


def _curves(subject: Subject, probe: LocationProbe, erasure: Erasure, control: Memory) -> dict[int, dict[str, float]]:
    """The measures of one erased document by the number of steps."""
    run = subject.memory_run
    recalled = _recalled_of(subject, probe, erasure.document)
    before = {f"{name}_before": value for name, value in recalled(run.memory.to(probe.base.device)).items()}
    curves = {number: dict(before) for number in STEPS}
    left = without_entries(cast(Memory, run.memory), run.allocation.mask([erasure.document])[0])
    for sort, documents in erasure.learned.items():
        memories = [copy.deepcopy(memory) for memory in (left, control)]

        def measure(step: int, sort: str = sort, memories: list[Memory] = memories) -> None:
            relearned, never = (recalled(memory) for memory in memories)
            for name, value in relearned.items():
                back = value - never[name] if name == "bits" else never[name] - value
                curves[step] |= {
                    f"relearned_{name}_{sort}": value,
                    f"control_{name}_{sort}": never[name],
                    f"resurfaced_{name}_{sort}": back,
                }

        _learn(run, probe, documents, memories, measure)
    return curves


def _recalled_of(subject: Subject, probe: LocationProbe, number: int) -> Callable[[BlockMemory], dict[str, float]]:
    """A function that gives the NLL of a document by a memory, and the mean bits of its facts if it has some."""
    base, layer = probe.base, int(subject.config.layer)
    asked = asked_facts(subject.lm, layer, subject.documents[number].facts, FORM)

    @torch.no_grad()
    def recalled(memory: BlockMemory) -> dict[str, float]:
        every = torch.ones(1, memory.shape.entries, device=base.device)
        with attached(base.model, base.blocks[layer], memory) as active:
            measured = {"nll": float(probe.nll(active, [number], every)[0])}
            if asked:
                bits, _ = fact_bits(active, base.model, asked, every.expand(len(asked.requests), -1))
                measured["bits"] = float(bits.mean())
        return measured

    return recalled


def _learn(
    run: LoadedRun,
    probe: LocationProbe,
    documents: Sequence[int],
    memories: Sequence[Memory],
    measure: Callable[[int], None],
) -> None:
    """Train memories together on documents for the last of `STEPS`, in place; `measure` is called after each of them.

    By the run's batch size and learning rate, with a cosine down to 0, and by cross-entropy alone, whatever the run was
    trained by: an erased document has no entries that its activation could be pressed onto.
    """
    rows = [row for number in documents for row in probe.rows_of[number]]
    segments = [probe.segments[row] for row in rows]
    batches = SegmentsInMemory(segments, HiddenCache(probe.cache.packed(rows, CPU), segment_starts(segments)))
    config = relearning_config(run.config, len(segments))
    members = [
        Member(memory, make_optimizer(memory, config), [Progress()], config=config, masks=[run.allocation.mask])
        for memory in memories
    ]

    def after_step(fleet: Fleet) -> None:
        if fleet.step in STEPS:
            measure(fleet.step)

    measure(0)
    train_members(probe.base, Fleet(members, len(members)), batches, after_step)
    for member in members:
        if member.failure:
            raise RequestError(f"task relearning: {member.failure}")


def relearning_config(config: TrainConfig, segments: int) -> TrainConfig:
    """A run's configuration for as many epochs over some segments as the last of `STEPS` takes, by cross-entropy alone.

    The last epoch may go on for a few steps beyond it.
    """
    epochs = math.ceil(STEPS[-1] / math.ceil(segments / config.batch_size))
    return replace(config, epochs=epochs, alpha=0.0, beta=0.0, location="soft", warmup=0.0)
