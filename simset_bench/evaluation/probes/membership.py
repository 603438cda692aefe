"""Telling memorised documents from others, by the memory's activation and by attacks that see outputs only."""

import zlib
from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch

from simset_bench.corpora.documents import Document
from simset_bench.corpora.load import stream_corpus
from simset_bench.errors import RequestError
from simset_bench.evaluation.estimates import Scored, jackknife
from simset_bench.evaluation.lm.at_work import MemoryAtWork
from simset_bench.evaluation.measures import higher_is_better
from simset_bench.evaluation.probes.location import LocationProbe
from simset_bench.evaluation.probes.records import record
from simset_bench.evaluation.probes.token_scores import ScoredText, token_scores
from simset_bench.evaluation.subject import Subject
from simset_bench.evaluation.task_options import TaskOptions
from simset_bench.training.data.hidden_states_on_disk import cached_states

DOCUMENTS = 64
# Share of a text's tokens, the least likely ones, that Min-K% looks at: the best of those its paper tries.
MIN_K = 0.2
MemberAndScore = tuple[bool, float]


def membership(subject: Subject, options: TaskOptions) -> Scored:
    """Areas under the ROC curve, in [0, 1], for telling memorised documents from others of the same corpus.

    The others are the next ones in the corpus, as many as the memorised ones asked about, `--limit` of them [64].
    A guess gives 0.5, and 1 tells all apart. Compare each attack with the same attack on the untouched base (`_base`),
    which has seen no document of either set: where that is not near 0.5, the two sets differ by themselves.
    - `auc_location`: by the largest share of a document's activation that the entries of any document hold
    - `auc_energy`: by the energy of its activation: the mean over tokens of the logarithm of the sum over entries
    - `auc_loss`: by its NLL a token (arXiv 1709.01604)
    - `auc_zlib`: by its NLL a token over the length in bytes of its zlib-compressed text, as in Min-K%'s released code;
      the code of arXiv 2012.07805 ranks by the reciprocal, which is the same order
    - `auc_min_k`: by the mean NLL of its 20% least likely tokens (Min-K%, arXiv 2310.16789)
    - `auc_loss_base`, `auc_zlib_base`, `auc_min_k_base`: the same attacks on the untouched base

    AUC from scikit-learn, errors by a jackknife over documents. Raises RequestError where the corpus has no other
    document, and for a recall mode other than free, which would tell the attacker whose document it is.
    """
    if options.recall != "free":
        raise RequestError(
            f"task membership: --recall {options.recall} would name the document to the model, so use --recall free"
        )
    members, others = members_and_others(subject, options)
    documents = members + others
    free = subject.memory_at_work("free")
    scores = _activation_scores(subject, documents) | output_scores(subject, documents, free)
    scores |= {f"{name}_base": values for name, values in output_scores(subject, documents, None).items()}
    clusters = [document.id for document in documents]
    estimates = {}
    for name, values in scores.items():
        pairs = [(number < len(members), float(score)) for number, score in enumerate(values)]
        estimates[f"auc_{name}"] = jackknife(area_under_curve, pairs, clusters)
    records: list[dict[str, Any]] = []
    for number, document in enumerate(documents):
        measures = {f"{name}_score": float(values[number]) for name, values in scores.items()}
        records.append(record(document, document.id, document.text, measures, is_member=number < len(members)))
    return Scored(estimates, records, {name: higher_is_better(name) for name in estimates})


def area_under_curve(pairs: Sequence[MemberAndScore]) -> float:
    """Chance that a member's score is above another document's; a tie counts half.

    Raises ValueError where there is no member, or no other.
    """
    from sklearn.metrics import roc_auc_score

    if len({is_member for is_member, _ in pairs}) < 2:
        raise ValueError("needs members and others")
    return float(roc_auc_score([is_member for is_member, _ in pairs], [score for _, score in pairs]))


def texts_read(subject: Subject, options: TaskOptions) -> list[str]:
    """Ids and texts of the documents that members are compared with."""
    return ids_and_texts(members_and_others(subject, options)[1])


def ids_and_texts(documents: Sequence[Document]) -> list[str]:
    """Id and text of each document, in turn."""
    return [part for document in documents for part in (document.id, document.text)]


def members_and_others(subject: Subject, options: TaskOptions) -> tuple[list[Document], list[Document]]:
    """The documents to tell apart: memorised ones, and as many others, or all others where the corpus has fewer."""
    members = list(subject.documents[: options.limit or DOCUMENTS])
    return members, other_documents(subject, len(members))


def other_documents(subject: Subject, count: int) -> list[Document]:
    """The first `count` documents of the run's corpus that the run has not memorised.

    Raises RequestError where the corpus has no such document.
    """
    memorised = {document.id for document in subject.documents}
    everything = stream_corpus(subject.config.corpus, group_by=subject.config.group_by)
    others = list(islice((document for document in everything if document.id not in memorised), count))
    if not others:
        raise RequestError(f"corpus {subject.config.corpus} has no document that was not memorised to compare with")
    return others


def output_scores(
    subject: Subject, documents: Sequence[Document], at_work: MemoryAtWork | None
) -> dict[str, np.ndarray]:
    """Loss, zlib and Min-K% scores of each document (documents,): the higher, the more it looks memorised."""
    nll = document_nll(subject, documents, at_work)
    packed = [len(zlib.compress(document.text.encode())) for document in documents]
    return {
        "loss": np.array([-values.mean() for values in nll]),
        "zlib": np.array([-values.mean() / size for values, size in zip(nll, packed, strict=True)]),
        "min_k": np.array([min_k(values) for values in nll]),
    }


def document_nll(subject: Subject, documents: Sequence[Document], at_work: MemoryAtWork | None) -> list[np.ndarray]:
    """NLL in nats of each document's tokens (tokens,) float64, as the attacks' released codes count them.

    They score every token that follows another, so that the first word counts where a BOS precedes it. They see a text
    in one piece; here it is cut into segments as for training.
    """
    segments = subject.segments(documents)
    texts = [ScoredText(segment.token_ids, max(1, segment.specials), None) for segment in segments]
    parts: list[list[np.ndarray]] = [[] for _ in documents]
    for segment, scores in zip(segments, token_scores(subject.lm.base, texts, at_work), strict=True):
        parts[segment.document].append(scores.nll)
    return [np.concatenate(nll) for nll in parts]


def min_k(nll: np.ndarray, share: float = MIN_K) -> float:
    """Mean log-probability of the least likely `share` of tokens, of at least one; nll (tokens,) in nats."""
    return -float(np.sort(nll)[-max(1, int(share * len(nll))) :].mean())


@torch.no_grad()
def _activation_scores(subject: Subject, documents: Sequence[Document]) -> dict[str, np.ndarray]:
    run = subject.memory_run
    base, layer = subject.lm.base, int(run.config.layer)
    segments = subject.segments(documents)
    probe = LocationProbe(base, layer, segments, cached_states(base, [layer], segments, layer))
    every = torch.ones(run.memory.shape.entries, device=base.device)
    location = []
    for number in range(len(documents)):
        shares, _ = probe.energy_shares(run.memory, number, every)
        location.append(max(shares[entries].sum() for entries in run.allocation.entries))
    energy = []
    for number in range(len(documents)):
        logs = []
        for row in probe.rows_of[number]:
            real = slice(segments[row].specials, len(segments[row].token_ids))
            activations = run.memory.activations(probe.cache.batch([row], base.device))[0][real]
            logs.append(activations.double().square().sum(1).clamp_min(1e-30).log().cpu())
        energy.append(float(torch.cat(logs).mean()))
    return {"location": np.array(location), "energy": np.array(energy)}
