"""Our probes: what each measures without a request of lm-eval, and what it reads beside the run's documents."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simset_bench.corpora.facts.fact import BUILTIN
from simset_bench.evaluation.late import late
from simset_bench.evaluation.tasks.table import COUNTERFACT, OUR_TASKS
from simset_bench.training.method_options import MEMORY

if TYPE_CHECKING:
    from simset_bench.evaluation.estimates import Scored
    from simset_bench.evaluation.subject import Subject
    from simset_bench.evaluation.task_options import TaskOptions


@dataclass(frozen=True)
class Probe:
    """What is measured without a request of lm-eval; `data` and `default` are as in `OurTask`.

    `needs_memory` says that it measures entries, which a bare base lacks, `has_prompts` that it asks for what follows a
    prompt, from which a router can find a document. `reads` gives the texts that it reads beside
    the documents that the run memorised; a result no longer counts once they change, and `reads` raises RequestError
    where there is nothing to read, as `measure` does. `set_by_others` names measures of a document that depend on which
    other documents are asked about. `method` is the only one whose runs it measures, None for all that have entries.
    """

    question: str
    version: int
    measure: "Callable[[Subject, TaskOptions], Scored]"
    needs_memory: bool = False
    has_prompts: bool = False
    data: str | None = None
    default: str | None = None
    reads: "Callable[[Subject, TaskOptions], Iterable[str]] | None" = None
    set_by_others: tuple[str, ...] = ()
    method: str | None = None


LOCATION = "location"
# What of an erased document is compared, and what the memory learns after the erasure.
_RELEARNED = tuple(
    f"{whose}_{what}_{sort}"
    for whose in ("relearned", "control", "resurfaced")
    for what in ("nll", "bits")
    for sort in ("kin", "strangers", "itself")
)
_OTHERS_FACTS = tuple(
    f"{what}_lost_{sort}" for what in ("bits", "accuracy") for sort in ("shared_values", "own_values", "strangers")
)

PROBES: dict[str, Probe] = {
    LOCATION: Probe(
        "where a document's activations lie, and what erasing its entries does",
        3,
        late("probes.location", "location"),
        needs_memory=True,
        set_by_others=("erasure_others", "erasure_difference", "attribution_at_1"),
    ),
    "memorisation": Probe(
        "what of the documents can be extracted, by prefix length and position",
        3,
        late("probes.memorisation", "memorisation"),
        has_prompts=True,
    ),
    "teacher_forcing": Probe(
        "token accuracy with the answer given (CounterFact)",
        2,
        late("probes.teacher_forcing", "teacher_forcing"),
        has_prompts=True,
        data=COUNTERFACT,
        default=BUILTIN,
        reads=late("probes.teacher_forcing", "texts_read"),
    ),
    "capacity": Probe("bits memorised a memory parameter", 2, late("probes.capacity", "capacity"), needs_memory=True),
    "membership": Probe(
        "telling memorised documents from others",
        2,
        late("probes.membership", "membership"),
        needs_memory=True,
        reads=late("probes.membership", "texts_read"),
    ),
    "sharing": Probe(
        "what erasing a document does to those that resemble it",
        3,
        late("probes.sharing", "sharing"),
        needs_memory=True,
        set_by_others=(
            "erasure_similar",
            "erasure_unrelated",
            "sharing_cost",
            "jaccard_similar",
            "jaccard_unrelated",
            "overlap_similar",
            "overlap_unrelated",
            *_OTHERS_FACTS,
        ),
    ),
    "fact_location": Probe(
        "whose entries a fact about invented people lies on",
        1,
        late("probes.fact_location", "fact_location"),
        needs_memory=True,
    ),
    "unlearning": Probe(
        "erasing a quarter of the documents at once",
        4,
        late("probes.unlearning", "unlearning"),
        needs_memory=True,
        reads=late("probes.unlearning", "texts_read"),
    ),
    "relearning": Probe(
        "whether an erased document comes back when the memory learns on",
        1,
        late("probes.relearning", "relearning"),
        needs_memory=True,
        set_by_others=_RELEARNED,
        method=MEMORY,
    ),
}


def is_ours(name: str) -> bool:
    """Whether a task is one of our tasks or probes, and not one of lm-eval's."""
    return name in OUR_TASKS or name in PROBES
