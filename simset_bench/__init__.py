"""Does structural document memory help factual recall? Train, evaluate and rank document memories."""

from typing import TYPE_CHECKING, Any

from simset_bench.package import VERSION

if TYPE_CHECKING:
    from simset_bench.training.memory_model import MemoryModel

__all__ = ["MemoryModel", "__version__"]
__version__ = VERSION


def __getattr__(name: str) -> Any:
    # Imported where it is asked for: the command answers --help without loading PyTorch.
    if name == "MemoryModel":
        from simset_bench.training.memory_model import MemoryModel

        return MemoryModel
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
