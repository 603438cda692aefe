"""Erasing a set of documents, measured as unlearning is: what is forgotten, what is kept, what can still be told."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import stats

from simset_bench.corpora.documents import Document
from simset_bench.errors import RequestError
from simset_bench.evaluation.estimates import Estimate, Scored, ratio_with_error
from simset_bench.evaluation.lm.at_work import MemoryAtWork
from simset_bench.evaluation.measures import higher_is_better
from simset_bench.evaluation.probes.membership import (
    area_under_curve,
    document_nll,
    ids_and_texts,
    min_k,
    other_documents,
)
from simset_bench.evaluation.probes.records import record, scored
from simset_bench.evaluation.probes.token_scores import ScoredText, target_after, token_scores
from simset_bench.evaluation.subject import Subject
from simset_bench.evaluation.task_options import TaskOptions
from simset_bench.evaluation.tasks.cloze import Cloze, clozes

DOCUMENTS = 64
FORGET_SHARE = 0.25
# MUSE's share of the least likely tokens, `Min-40%` in its released code.
MIN_K_OF_LEAKAGE = 0.4
CLOZES_A_DOCUMENT = 3
SEED = 0


def unlearning(subject: Subject, options: TaskOptions) -> Scored:
    """A drawn quarter of the documents is erased at once: their entries' union is masked out for every document.

    The untouched base is the model that never saw them, which TOFU (arXiv 2401.06121) and MUSE (2407.06460) have to
    retrain.
    - `forget_rise`, `retain_rise`: NLL rise of the erased and of the other documents, in nats a token
    - `forgotten`: rise of the erased documents over what the memory had gained on them; 1 is the base's own NLL
    - `utility_kept`: share that is left of what the memory had gained on the others, at most about 1
    - `truth_ratio_forget`, `truth_ratio_retain`: of cut sentences, R = P(span of another document) / P(own span), each
      probability to the power of 1 / tokens. Reported as min(R, 1 / R) of the erased and max(0, 1 - R) of the others,
      as OpenUnlearning and TOFU's code do. Their R compares the mean loss of five perturbed answers with that of a
      paraphrase, so that our values compare with one another and not with theirs
    - `forget_quality`: p-value of the Kolmogorov-Smirnov test that the truth ratios of the erased documents are
      distributed as the base's on the same sentences (TOFU's test); near 1 it cannot tell the two apart
    - `privacy_leakage`: see `leakage`

    64 documents are asked about, or as many as `--limit` says. Raises RequestError for fewer than two documents.
    """
    run = subject.memory_run
    numbers, others = erased_and_others(subject, options)
    union = np.asarray(run.allocation.mask(numbers).any(axis=0))
    cut, forgotten = replace(subject, documents=_asked_about(subject, options)), set(numbers)
    before, erased = cut.memory_at_work(options.recall), cut.memory_at_work(options.recall, union)
    records = _nll_records(cut, before, erased, forgotten) + _truth_records(cut, erased, forgotten)
    estimates = dict(scored(records).estimates)
    if (lost := _share_lost(records, "forget")) is not None:
        estimates["forgotten"] = lost
    if (lost := _share_lost(records, "retain")) is not None:
        estimates["utility_kept"] = replace(lost, value=1 - lost.value)
    ratios = [each for each in records if "truth_ratio" in each and each["erased"]]
    if len(ratios) > 1:
        test = stats.ks_2samp([each["truth_ratio"] for each in ratios], [each["truth_ratio_base"] for each in ratios])
        estimates["forget_quality"] = Estimate(float(test.pvalue), None, len(ratios))
    leaked = privacy_leakage(cut, erased, [cut.documents[number] for number in numbers], others)
    if leaked is not None:
        estimates["privacy_leakage"] = leaked
    return Scored(estimates, records, {name: higher_is_better(name) for name in estimates})


def _asked_about(subject: Subject, options: TaskOptions) -> Sequence[Document]:
    return subject.documents[: options.limit or DOCUMENTS]


def texts_read(subject: Subject, options: TaskOptions) -> list[str]:
    """Ids and texts of the documents never memorised that the erased ones are compared with."""
    return ids_and_texts(erased_and_others(subject, options)[1])


def erased_and_others(subject: Subject, options: TaskOptions) -> tuple[list[int], list[Document]]:
    """Numbers of the documents to erase, increasing, and as many documents that were never memorised."""
    count = len(_asked_about(subject, options))
    if count < 2:
        raise RequestError("task unlearning needs two documents, one to erase and one to keep")
    erased = np.random.default_rng(SEED).permutation(count)[: max(1, round(FORGET_SHARE * count))]
    return sorted(erased.tolist()), other_documents(subject, len(erased))


def _share_lost(records: Sequence[dict[str, Any]], kind: str) -> Estimate | None:
    """NLL rise by the erasure over the memory's NLL gain, both summed over the tokens of the documents of a kind.

    None where the memory had gained nothing that could be lost.
    """
    of_kind = [each for each in records if f"{kind}_rise" in each["measures"]]
    rises = [each["measures"][f"{kind}_rise"] * each["tokens"] for each in of_kind]
    gains = [each["gain"] * each["tokens"] for each in of_kind]
    if math.fsum(gains) <= 0:
        return None
    return ratio_with_error(rises, gains, [each["cluster"] for each in of_kind])


def _nll_records(
    subject: Subject, before: MemoryAtWork | None, erased: MemoryAtWork | None, forgotten: set[int]
) -> list[dict[str, Any]]:
    all_segments = subject.segments(subject.documents)
    segments = [segment for segment in all_segments if len(segment.token_ids) > segment.specials + 1]
    texts = [
        ScoredText(segment.token_ids, segment.specials + 1, subject.documents[segment.document].id)
        for segment in segments
    ]
    base = subject.lm.base
    with_memory, after, bare = (token_scores(base, texts, at_work) for at_work in (before, erased, None))
    records = []
    for segment, memory, without, untouched in zip(segments, with_memory, after, bare, strict=True):
        document = subject.documents[segment.document]
        kind = "forget" if segment.document in forgotten else "retain"
        values = {f"{kind}_rise": float((without.nll - memory.nll).mean())}
        more = {
            "tokens": len(memory.nll),
            "gain": float((untouched.nll - memory.nll).mean()),
            "erased": kind == "forget",
        }
        records.append(record(document, f"{document.id}#{segment.number}", segment.text, values, **more))
    return records


def _truth_records(subject: Subject, erased: MemoryAtWork | None, forgotten: set[int]) -> list[dict[str, Any]]:
    cut_sentences = clozes(subject.documents, CLOZES_A_DOCUMENT, SEED)
    now, base = (truth_ratios(subject, cut_sentences, at_work) for at_work in (erased, None))
    number_of = {document.id: number for number, document in enumerate(subject.documents)}
    records = []
    for place, cloze in enumerate(cut_sentences):
        number = number_of[cloze.document]
        is_erased = number in forgotten
        values = {"truth_ratio_retain": max(0.0, 1 - now[place])}
        if is_erased:
            values = {"truth_ratio_forget": min(now[place], 1 / now[place])}
        about = {"erased": is_erased, "truth_ratio": now[place], "truth_ratio_base": base[place]}
        sample = f"{cloze.document}/{place}"
        records.append(record(subject.documents[number], sample, cloze.prefix, values, **about))
    return records


def truth_ratios(subject: Subject, cut_sentences: Sequence[Cloze], at_work: MemoryAtWork | None) -> list[float]:
    """R = P(distractor)^(1 / tokens) / P(answer)^(1 / tokens) of each cut sentence, in (0, inf); see `unlearning`."""
    texts = [
        target_after(subject.lm, cloze.prefix, f" {span}", cloze.document)
        for cloze in cut_sentences
        for span in (cloze.answer, cloze.distractor)
    ]
    nll = [scores.nll.mean() for scores in token_scores(subject.lm.base, texts, at_work)]
    # Ratios beyond e^50 say no more, and 1 / R stays finite.
    return [float(np.exp(np.clip(own - other, -50, 50))) for own, other in zip(nll[::2], nll[1::2], strict=True)]


def privacy_leakage(
    subject: Subject, erased: MemoryAtWork | None, members: list[Document], others: list[Document]
) -> Estimate | None:
    """`leakage` of the memory without the members' entries, with the untouched base as the retrained model."""
    scores = [
        [min_k(nll, MIN_K_OF_LEAKAGE) for nll in document_nll(subject, members + others, at_work)]
        for at_work in (erased, None)
    ]
    value = leakage(*scores, forgotten=len(members))
    return None if value is None else Estimate(value, None, len(members) + len(others))


def leakage(now: Sequence[float], retrained: Sequence[float], *, forgotten: int) -> float | None:
    """MUSE's PrivLeak: 100 * (AUC - AUC of the retrained model) / AUC of the retrained model, in [-100, inf).

    `now`, `retrained`: Min-40% of each text by the model after erasure, and by one that never saw any of them; the
    first `forgotten` texts are those that were to be erased, the others were never memorised. As in MUSE (arXiv
    2407.06460, section 3, and its released code) the forgotten texts are the class of non-members, so that AUC is the
    chance that a text never memorised looks more memorised than one that was. 0 is the aim. Below 0 too little was
    erased, down to -100 where every erased text is still told apart; above 0 too much was erased. None where the
    retrained model's AUC is 0.
    """
    labels = [number >= forgotten for number in range(len(now))]
    reached, due = (area_under_curve(list(zip(labels, scores, strict=True))) for scores in (now, retrained))
    return None if due == 0 else 100 * (reached - due) / due
