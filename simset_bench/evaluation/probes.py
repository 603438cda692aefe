"""The functions behind `PROBES`, and what each reads."""

from collections.abc import Callable, Iterator, Sequence

from simset_bench.corpora.documents import Document
from simset_bench.evaluation.capacity import capacity
from simset_bench.evaluation.estimates import Scored
from simset_bench.evaluation.location import location
from simset_bench.evaluation.membership import members_and_others, membership
from simset_bench.evaluation.memorisation import memorisation
from simset_bench.evaluation.probed import Probed
from simset_bench.evaluation.sharing import sharing
from simset_bench.evaluation.teacher_forcing import asked_facts, teacher_forcing
from simset_bench.evaluation.unlearning import erased_and_others, unlearning

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
