"""The price of shared entries: what erasing a document does to the documents that resemble it."""

import torch

from simset_bench.evaluation.estimates import Scored
from simset_bench.evaluation.probes.facts_lost import facts_lost
from simset_bench.evaluation.probes.kin import most_similar_first, similarities, word_sets
from simset_bench.evaluation.probes.location import LocationProbe
from simset_bench.evaluation.probes.records import record, scored
from simset_bench.evaluation.subject import Subject
from simset_bench.evaluation.task_options import TaskOptions
from simset_bench.models.memory import attached
from simset_bench.training.data.hidden_states_on_disk import cached_states

# The erasure of one document is measured on this many similar and as many unrelated others.
NEIGHBORS = 3
DOCUMENTS = 64


@torch.no_grad()
def sharing(subject: Subject, options: TaskOptions) -> Scored:
    """What the most and the least similar documents lose when a document's entries are erased.

    - `erasure_similar`, `erasure_unrelated`: mean rise in NLL, in nats a token, of the three documents of highest and
      of lowest Jaccard similarity of their sets of words, among those asked about (`--limit` of them [64]); with fewer
      than six others each sort has half of them, rounded down
    - `sharing_cost`: the first less the second, a difference within the document
    - `jaccard_similar`, `jaccard_unrelated`: mean similarity of the two sorts
    - `overlap_similar`, `overlap_unrelated`: mean share of the document's entries that these have too
    - `erasure_own`: its own rise

    A rise is over a document's NLL in the recall mode. With fewer than two others only `erasure_own` is given. Records
    keep each of the `others` with its rise, the similarity, and the share of the erased entries that it has too.
    Documents with facts have the measures of `facts_lost` too.
    """
    run = subject.memory_run
    base, layer = subject.lm.base, int(run.config.layer)
    documents = subject.documents[: options.limit or DOCUMENTS]
    segments = subject.segments(documents)
    probe = LocationProbe(base, layer, segments, cached_states(base, [layer], segments, layer))
    words = word_sets(documents)
    own = torch.from_numpy(run.allocation.mask(range(len(documents)))).to(base.device)
    everything = list(range(len(documents)))
    used = torch.from_numpy(run.multipliers(everything, options.recall)).to(base.device)
    lost = facts_lost(subject, documents, options.recall)
    records = []
    with attached(base.model, base.blocks[layer], run.memory.to(base.device)) as active:
        before = probe.nll(active, everything, used)
        for place, document in enumerate(documents):
            jaccards = similarities(words, place)
            others = most_similar_first(jaccards, [other for other in everything if other != place])
            count = min(NEIGHBORS, len(others) // 2)
            sorts = {"similar": others[:count], "unrelated": others[len(others) - count :]}
            compared = [place, *sorts["similar"], *sorts["unrelated"]]
            rise = probe.nll(active, compared, used[compared] * ~own[place]) - before[compared]
            measures = {"erasure_own": float(rise[0])}
            overlaps = ((own[compared[1:]] & own[place]).sum(1).double() / own[place].sum()).tolist()
            hurt = [
                {
                    "document": documents[other].id,
                    "nll_rise": float(change),
                    "overlap": overlap,
                    "jaccard": float(jaccards[other]),
                }
                for other, change, overlap in zip(compared[1:], rise[1:], overlaps, strict=True)
            ]
            if count:
                measures["erasure_similar"] = float(rise[1 : 1 + count].mean())
                measures["erasure_unrelated"] = float(rise[1 + count :].mean())
                measures["sharing_cost"] = measures["erasure_similar"] - measures["erasure_unrelated"]
                for name, chosen in sorts.items():
                    shared = (own[chosen] & own[place]).sum(1).double() / own[place].sum()
                    measures |= {f"jaccard_{name}": float(jaccards[chosen].mean())}
                    measures |= {f"overlap_{name}": float(shared.mean())}
            records.append(record(document, document.id, document.text, measures | lost[place], others=hurt))
    return scored(records)
