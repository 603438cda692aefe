"""Functions that are imported when they are first called."""

import pytest

from simset_bench.evaluation.estimates import harmonic_mean
from simset_bench.evaluation.late import late


def test_a_late_function_gives_what_the_function_gives() -> None:
    pairs = [("rewrite", 0.5), ("paraphrase", 1.0)]
    assert late("estimates", "harmonic_mean")(pairs) == harmonic_mean(pairs)


def test_nothing_is_imported_before_the_call() -> None:
    function = late("no_such_module", "f")
    with pytest.raises(ModuleNotFoundError, match=r"simset_bench\.evaluation\.no_such_module"):
        function()
