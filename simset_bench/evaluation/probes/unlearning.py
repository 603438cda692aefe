"""Erasing a set of documents, measured as unlearning is: what is forgotten, what is kept, what can still be told."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import stats

from simset_bench.corpora.documents import Document
from simset_bench.errors import RequestError
from simset_bench.evaluation.estimates import Estimate, Scored, ratio_with_error
from simset_bench.evaluation.lm.memory_lm import MemoryAtWork
from simset_bench.evaluation.measures import higher_is_better
from simset_bench.evaluation.probes.membership import area_under_curve, ids_and_texts, other_documents, output_scores
from simset_bench.evaluation.probes.records import record, scored
from simset_bench.evaluation.probes.token_scores import ScoredText, pair_request, token_scores
from simset_bench.evaluation.subject import Subject
from simset_bench.evaluation.task_options import TaskOptions
from simset_bench.evaluation.tasks.cloze import Cloze, clozes

DOCUMENTS = 64
FORGET_SHARE = 0.25
CLOZES_A_DOCUMENT = 3
SEED = 0


def unlearning(subject: Subject, options: TaskOptions) -> Scored:
    """A drawn quarter of the documents is erased at once: their entries' union is masked out for every document.

    The untouched base stands for the model that never saw them, which TOFU (arXiv 2401.06121) and MUSE (2407.06460)
    retrain for the purpose.
    - `forget_rise`, `retain_rise`: NLL rise of the erased and of the other documents, in nats a token
    - `forgotten`: rise of the erased documents over what the memory had gained on them; 1 is the base's own NLL
    - `utility_kept`: share of what the memory had gained on the others that is left, at most about 1
    - `truth_ratio_forget`, `truth_ratio_retain`: of cut sentences, P(span of another document) / P(own span), each
      probability to the power of 1 / tokens; TOFU's R_truth with one perturbed answer and the original in place of a
      paraphrased one. Reported as min(R, 1 / R) of the erased and max(0, 1 - R) of the others, as OpenUnlearning does
    - `forget_quality`: p-value of the Kolmogorov-Smirnov test that the truth ratios of the erased documents are the
      base's (TOFU); near 1 the two cannot be told apart
    - `privacy_leakage`: MUSE's PrivLeak with Min-K%: (AUC - base's AUC) / base's AUC for telling the erased documents
      from ones never memorised; 0 is none, above 0 they can still be told. None of it where the base's AUC is 0

    Up to 64 documents are asked about. Raises RequestError for fewer than two documents.
    """
    run = subject.memory_run
    numbers, others = erased_and_others(subject, options)
    union = np.asarray(run.allocation.mask(numbers).any(axis=0))
    asked, forgotten = replace(subject, documents=_asked_about(subject, options)), set(numbers)
    before, erased = asked.memory_at_work(options.recall), asked.memory_at_work(options.recall, union)
    records = _nll_records(asked, before, erased, forgotten) + _truth_records(asked, erased, forgotten)
    estimates = dict(scored(records).estimates)
    estimates["forgotten"] = _share_lost(records, "forget")
    lost = _share_lost(records, "retain")
    estimates["utility_kept"] = replace(lost, value=1 - lost.value)
    ratios = [made for made in records if "truth_ratio" in made and made["erased"]]
    if len(ratios) > 1:
        test = stats.ks_2samp([made["truth_ratio"] for made in ratios], [made["truth_ratio_base"] for made in ratios])
        estimates["forget_quality"] = Estimate(float(test.pvalue), None, len(ratios))
    leakage = _privacy_leakage(asked, erased, [asked.documents[number] for number in numbers], others)
    if leakage is not None:
        estimates["privacy_leakage"] = leakage
    return Scored(estimates, records, {name: higher_is_better(name) for name in estimates})


def _asked_about(subject: Subject, options: TaskOptions) -> Sequence[Document]:
    return subject.documents[: min(options.limit or DOCUMENTS, DOCUMENTS)]


def texts_read(subject: Subject, options: TaskOptions) -> list[str]:
    """Ids and texts of the documents never memorised that the erased ones are compared with."""
    return ids_and_texts(erased_and_others(subject, options)[1])


def erased_and_others(subject: Subject, options: TaskOptions) -> tuple[list[int], list[Document]]:
    """Numbers of the documents that are erased, increasing, and as many documents that were never memorised."""
    count = len(_asked_about(subject, options))
    if count < 2:
        raise RequestError("task unlearning needs two documents, one to erase and one to keep")
    erased = np.random.default_rng(SEED).permutation(count)[: max(1, round(FORGET_SHARE * count))]
    return sorted(erased.tolist()), other_documents(subject, len(erased))


def _share_lost(records: Sequence[dict[str, Any]], kind: str) -> Estimate:
    """Rise at the erasure over what the memory had gained, both summed over the tokens of the documents of a kind."""
    having = [made for made in records if f"{kind}_rise" in made["measures"]]
    rises = [made["measures"][f"{kind}_rise"] * made["tokens"] for made in having]
    gains = [made["gain"] * made["tokens"] for made in having]
    return ratio_with_error(rises, gains, [made["cluster"] for made in having])


def _nll_records(
    subject: Subject, before: MemoryAtWork | None, erased: MemoryAtWork | None, forgotten: set[int]
) -> list[dict[str, Any]]:
    everything = subject.segments(subject.documents)
    segments = [segment for segment in everything if len(segment.token_ids) > segment.specials + 1]
    asked = [
        ScoredText(segment.token_ids, segment.specials + 1, subject.documents[segment.document].id)
        for segment in segments
    ]
    base = subject.lm.base
    with_memory, after, bare = (token_scores(base, asked, at) for at in (before, erased, None))
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
    found = clozes(subject.documents, CLOZES_A_DOCUMENT, SEED)
    now, base = (truth_ratios(subject, found, at_work) for at_work in (erased, None))
    number_of = {document.id: number for number, document in enumerate(subject.documents)}
    records = []
    for place, cloze in enumerate(found):
        number = number_of[cloze.document]
        is_erased = number in forgotten
        values = {"truth_ratio_retain": max(0.0, 1 - now[place])}
        if is_erased:
            values = {"truth_ratio_forget": min(now[place], 1 / now[place])}
        made = record(subject.documents[number], f"{cloze.document}/{place}", cloze.prefix, values, erased=is_erased)
        records.append(made | {"truth_ratio": now[place], "truth_ratio_base": base[place]})
    return records


def truth_ratios(subject: Subject, asked: Sequence[Cloze], at_work: MemoryAtWork | None) -> list[float]:
    """R = P(distractor)^(1 / tokens) / P(answer)^(1 / tokens) of each cut sentence, in (0, inf); see `unlearning`."""
    requests = [
        pair_request(subject.lm, cloze.prefix, f" {text}", cloze.document)
        for cloze in asked
        for text in (cloze.answer, cloze.distractor)
    ]
    nll = [scores.nll.mean() for scores in token_scores(subject.lm.base, requests, at_work)]
    # Beyond e^50 either way they are equally certain, and 1 / R stays finite.
    return [float(np.exp(np.clip(own - other, -50, 50))) for own, other in zip(nll[::2], nll[1::2], strict=True)]


def _privacy_leakage(
    subject: Subject, erased: MemoryAtWork | None, members: list[Document], others: list[Document]
) -> Estimate | None:
    pairs = {}
    for name, at_work in (("now", erased), ("base", None)):
        scores = output_scores(subject, members + others, at_work)["min_k"]
        pairs[name] = [(number < len(members), float(score)) for number, score in enumerate(scores)]
    base = area_under_curve(pairs["base"])
    if base == 0:
        return None
    return Estimate((area_under_curve(pairs["now"]) - base) / base, None, len(members) + len(others))
