"""A strategy more for `simset-bench`, as somebody would try one: a function, a record, and nothing else changed."""

import numpy as np

from simset_bench.simset.strategies import STRATEGIES, Drawn, DrawOptions, Strategy, Units


def every_second(units: Units, options: DrawOptions) -> Drawn:
    """The first k even entries, the same for every unit."""
    entries = np.arange(0, 2 * options.entries_per_doc, 2, dtype=np.uint32)
    return Drawn([entries] * len(units.lengths))


STRATEGIES["every_second"] = Strategy("the first k even entries", every_second)
