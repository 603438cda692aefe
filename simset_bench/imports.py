"""Imports of large libraries, where somebody waits for a command to begin."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quick_imports() -> Iterator[None]:
    """Import within the context without looking for garbage, which saves a quarter of the time.

    What libraries make when they are imported stays until the process ends. So later collections do not look at it.
    """
    was_enabled, known = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > known:
            gc.freeze()
        if was_enabled:
            gc.enable()
