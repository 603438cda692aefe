"""Does structural document memory help factual recall? Train, evaluate and rank document memories.

The names here are the public interface, which `docs/api.md` describes; what the command `simset-bench` does they do.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from simset_bench.package import VERSION

if TYPE_CHECKING:
    from simset_bench.api.allocations import allocate, analyze
    from simset_bench.api.boards import contrast, leaderboard
    from simset_bench.api.comparing import compare
    from simset_bench.api.evaluation import evaluate
    from simset_bench.api.runs import read_runs, read_samples, show
    from simset_bench.api.sweeps import study, sweep
    from simset_bench.api.training import forget, train
    from simset_bench.errors import RequestError
    from simset_bench.training.memory_model import MemoryModel

__all__ = [
    "MemoryModel",
    "RequestError",
    "__version__",
    "allocate",
    "analyze",
    "compare",
    "contrast",
    "evaluate",
    "forget",
    "leaderboard",
    "read_runs",
    "read_samples",
    "show",
    "study",
    "sweep",
    "train",
]
__version__ = VERSION
# Imported where they are asked for: `import simset_bench` and the command's --help load no PyTorch.
_MODULES = {
    "MemoryModel": "training.memory_model",
    "RequestError": "errors",
    "allocate": "api.allocations",
    "analyze": "api.allocations",
    "compare": "api.comparing",
    "contrast": "api.boards",
    "evaluate": "api.evaluation",
    "forget": "api.training",
    "leaderboard": "api.boards",
    "read_runs": "api.runs",
    "read_samples": "api.runs",
    "show": "api.runs",
    "study": "api.sweeps",
    "sweep": "api.sweeps",
    "train": "api.training",
}


# The folder `leaderboard` shares its name with a function. It is imported now and its name given back, since whoever
# imported it later would put it in place of the function.
import_module(f"{__name__}.leaderboard")
del globals()["leaderboard"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # First, since it quiets what other libraries say in a notebook while they are imported.
    import_module(f"{__name__}.console")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
