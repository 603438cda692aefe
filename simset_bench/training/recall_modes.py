"""The names of the recall modes, and what each needs to know; `recall.py` says what they do."""

from simset_bench.errors import unknown_name
from simset_bench.training.config import TrainConfig

# Modes that need no router.
UNROUTED = ("free", "oracle", "erased")
# The router of each mode in which a router finds the document from the prompt.
ROUTER_OF = {"routed": "bm25", "routed-minhash": "minhash"}
RECALLS = (*UNROUTED, *ROUTER_OF)


def routed_by(name: str) -> str:
    """The recall mode in which the router `name` finds documents. Raises RequestError for an unknown router."""
    modes = {router: recall for recall, router in ROUTER_OF.items()}
    if name not in modes:
        raise unknown_name("--router", name, modes)
    return modes[name]


def needs_document(recall: str) -> bool:
    """Whether only texts about memorised documents can be asked in a recall mode."""
    return recall in ("oracle", "erased")


def why_not_routed(config: TrainConfig) -> str | None:
    """Why no router can find documents of a run with this configuration, None where one can."""
    if config.allocation_file is None:
        return None
    return "a router has to search all documents, of which a run with --allocation-file reads the first ones again"
