"""What every folder of tests shares; the fixtures themselves are in `fixtures/`."""

import gc
import time
from collections.abc import Iterator

import pytest
from hypothesis import settings

from simset_bench import console

# While tests are collected nothing becomes garbage, and what is imported stays until the end.
gc.disable()

pytest_plugins = [
    "fixtures.board_pages",
    "fixtures.chains",
    "fixtures.data",
    "fixtures.grids",
    "fixtures.models",
    "fixtures.page_files",
    "fixtures.runs",
    "fixtures.training",
    "fixtures.warm",
]

# The same examples on every machine, however slow: a failure can be seen again, and a busy machine is none.
settings.register_profile("suite", deadline=None, derandomize=True)
settings.load_profile("suite")


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_runtest_setup() -> None:
    # A log has a line a minute. Else now and then a test would find the line that was due after the tests before it.
    console._last_line = time.monotonic()


@pytest.fixture(scope="session", autouse=True)
def no_hidden_states_left_behind() -> Iterator[None]:
    """Keeps the tests' hidden states out of the user's cache; tests of the cache have one of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIMSET_BENCH_PREFIX_CACHE_GB", "0")
        yield
