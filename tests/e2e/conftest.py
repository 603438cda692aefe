"""The commands as a user's shell runs them."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Simset = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def simset_bench(tmp_path: Path) -> Simset:
    """Run the installed command in an empty folder of its own, and return what it printed and its exit code."""

    def run(*arguments: object, timeout: float = 300, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name("simset-bench")), *map(str, arguments)]
        return subprocess.run(
            command,
            cwd=tmp_path,
            env=os.environ | {"HF_HUB_OFFLINE": "1"} | environment,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return run
