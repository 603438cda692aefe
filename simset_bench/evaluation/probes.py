"""The functions behind `PROBES`."""

from collections.abc import Callable

from simset_bench.evaluation.capacity import capacity
from simset_bench.evaluation.harness import Scored
from simset_bench.evaluation.membership import membership
from simset_bench.evaluation.memorisation import memorisation
from simset_bench.evaluation.probed import Probed
from simset_bench.evaluation.sharing import sharing
from simset_bench.evaluation.teacher_forcing import teacher_forcing
from simset_bench.evaluation.unlearning import unlearning

MEASURE: dict[str, Callable[[Probed], Scored]] = {
    "memorisation": memorisation,
    "teacher_forcing": teacher_forcing,
    "capacity": capacity,
    "membership": membership,
    "sharing": sharing,
    "unlearning": unlearning,
}
