"""A memory with what its activations are multiplied by, as requests are answered with it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from simset_bench.errors import RequestError
from simset_bench.evaluation.lm_eval_internals import Instance
from simset_bench.models.memory import BlockMemory
from simset_bench.models.prefixes import Prefixes

# What activations are multiplied by, (entries,) float32, for a document, or for a text about none.
MultiplierOf = Callable[[str | None], np.ndarray]
# The id of the document that is found from a prompt.
Route = Callable[[str], str | None]


@dataclass(frozen=True)
class MemoryAtWork:
    """A memory on block `layer` of a base, whose activations are multiplied by `multiplier_of(document)`.

    `multiplier_of` takes a document's id, or None for a text about no memorised document, and gives (entries,) float32.
    None leaves activations as they are. Where `route` is given it finds the document from a prompt alone, None where it
    finds none, and the document that the prompt is about does not matter.
    """

    memory: BlockMemory
    layer: int
    multiplier_of: MultiplierOf | None = None
    route: Route | None = None


@dataclass(frozen=True)
class PrefixesAtWork:
    """Prefixes of documents, whose ids are in `number_of`. A text about no memorised document has none before it.

    `route` is as in `MemoryAtWork`.
    """

    prefixes: Prefixes
    number_of: Mapping[str, int]
    route: Route | None = None

    def of(self, document: str | None) -> Tensor | None:
        """The prefix of a document (blocks, 2, heads, tokens, width), None where it has none."""
        number = None if document is None else self.number_of.get(document)
        return None if number is None else self.prefixes.of(number)


def document_of(request: Instance, at_work: MemoryAtWork | PrefixesAtWork | None) -> str | None:
    """The document that a request is about, or the one that its prompt is routed to.

    Raises RequestError where recall needs a document that the sample does not name.
    """
    sample: dict[str, Any] = request.doc if isinstance(request.doc, dict) else {}
    if at_work is not None and at_work.route is not None:
        return sample["routed"] if "routed" in sample else at_work.route(request.args[0])
    document = sample.get("document")
    depends = isinstance(at_work, PrefixesAtWork) or (at_work is not None and at_work.multiplier_of is not None)
    if not document and depends:
        raise RequestError(
            f"--recall oracle and erased need the document of each sample; those of {request.task_name} name none"
        )
    return document or None
