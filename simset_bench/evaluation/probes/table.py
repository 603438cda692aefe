"""The functions behind `PROBES`, and what each reads."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from simset_bench.corpora.documents import Document
from simset_bench.corpora.facts.fact import BUILTIN
from simset_bench.evaluation.estimates import Scored
from simset_bench.evaluation.probes.capacity import capacity
from simset_bench.evaluation.probes.location import location
from simset_bench.evaluation.probes.membership import members_and_others, membership
from simset_bench.evaluation.probes.memorisation import memorisation
from simset_bench.evaluation.probes.records import Probed
from simset_bench.evaluation.probes.sharing import sharing
from simset_bench.evaluation.probes.teacher_forcing import asked_facts, teacher_forcing
from simset_bench.evaluation.probes.unlearning import erased_and_others, unlearning
from simset_bench.evaluation.tasks.table import COUNTERFACT

MEASURE: dict[str, Callable[[Probed], Scored]] = {
    "location": location,
    "memorisation": memorisation,
    "teacher_forcing": teacher_forcing,
    "capacity": capacity,
    "membership": membership,
    "sharing": sharing,
    "unlearning": unlearning,
}


def _texts(documents: Sequence[Document]) -> Iterator[str]:
    for document in documents:
        yield document.id
        yield document.text


# Of those that read more than the run's own documents.
_READ: dict[str, Callable[[Probed], Iterator[str]]] = {
    "teacher_forcing": lambda probed: (repr(fact) for fact, _ in asked_facts(probed)),
    "membership": lambda probed: _texts(members_and_others(probed)[1]),
    "unlearning": lambda probed: _texts(erased_and_others(probed)[1]),
}


def texts_read(name: str, probed: Probed) -> list[str]:
    """What a probe reads beside the documents that a run has memorised, in its order; nothing for most.

    Raises RequestError where there is nothing to read, as the probe does.
    """
    return list(_READ[name](probed)) if name in _READ else []


@dataclass(frozen=True)
class Probe:
    """What is measured without a request of lm-eval; `data` and `default` as in `OurTask`."""

    question: str
    version: int
    needs_memory: bool
    data: str | None = None
    default: str | None = None


LOCATION = "location"


PROBES: dict[str, Probe] = {
    LOCATION: Probe("where a document's activations lie, and what erasing its entries does", 2, True),
    "memorisation": Probe("what of the documents can be extracted, by prefix length and position", 2, False),
    "teacher_forcing": Probe("token accuracy with the answer given (CounterFact)", 2, False, COUNTERFACT, BUILTIN),
    "capacity": Probe("bits memorised a memory parameter", 2, True),
    "membership": Probe("telling memorised documents from others", 1, True),
    "sharing": Probe("what erasing a document does to those that resemble it", 2, True),
    "unlearning": Probe("erasing a quarter of the documents at once", 2, True),
}
