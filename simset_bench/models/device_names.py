"""Names of devices and dtypes, checked without importing torch."""

import re

from simset_bench.errors import RequestError, unknown_name

DTYPE_NAMES = ("float32", "bfloat16", "float16")
_DEVICE = re.compile(r"auto|(cpu|cuda|mps)(:[0-9]{1,4})?")


def check_base_names(device: str, dtype: str | None) -> None:
    """Raise RequestError for a name that is no device, and for an unknown dtype."""
    if dtype is not None and dtype not in ("auto", *DTYPE_NAMES):
        raise unknown_name("dtype", dtype, ["auto", *DTYPE_NAMES])
    if not _DEVICE.fullmatch(device):
        raise RequestError(f"--device {device!r} is no device: use auto, cpu, cuda, cuda:N or mps")
