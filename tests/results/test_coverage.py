"""How often intervals hold and tests err, in a small simulation; `benchmarks/coverage.py` is the large one."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "coverage.py"
REPEATS = 100


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("coverage_benchmark", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Its dataclasses look themselves up.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("kind", ["normal", "lognormal", "binary", "ratio"])
@pytest.mark.parametrize(("documents", "seeds", "effect"), [(6, 2, 0.0), (6, 2, 0.3), (10, 3, 0.3), (50, 2, 0.3)])
def test_intervals_hold_and_tests_err_as_seldom_as_they_say(
    benchmark: ModuleType, kind: str, documents: int, seeds: int, effect: float
) -> None:
    reached = benchmark.simulate(benchmark.Cell(kind, documents, seeds, effect), REPEATS)
    # Three standard errors of a share of so many repeats beyond 93% and 6%.
    assert reached.coverage >= 0.93 - 3 * np.sqrt(0.93 * 0.07 / REPEATS)
    assert reached.difference_coverage >= 0.93 - 3 * np.sqrt(0.93 * 0.07 / REPEATS)
    assert reached.false_positives <= 0.06 + 3 * np.sqrt(0.06 * 0.94 / REPEATS)


@pytest.mark.parametrize(("documents", "seeds", "effect"), [(6, 2, 0.3), (30, 3, 0.3), (30, 8, 0.0)])
def test_seeds_with_documents_of_their_own_err_as_seldom(
    benchmark: ModuleType, documents: int, seeds: int, effect: float
) -> None:
    reached = benchmark.simulate(benchmark.Cell("normal", documents, seeds, effect, nested=True), REPEATS)
    assert reached.difference_coverage >= 0.93 - 3 * np.sqrt(0.93 * 0.07 / REPEATS)
    assert reached.false_positives <= 0.06 + 3 * np.sqrt(0.06 * 0.94 / REPEATS)


@pytest.mark.parametrize(("documents", "seeds"), [(2, 5), (5, 3), (6, 1), (50, 1)])
def test_nothing_is_claimed_where_it_cannot_hold(benchmark: ModuleType, documents: int, seeds: int) -> None:
    """Fewer than six documents can tell no two rows apart, and one seed says nothing about settings."""
    assert benchmark.simulate(benchmark.Cell("normal", documents, seeds, 1.0), 40).false_positives == 0
