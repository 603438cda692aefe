"""The same allocation on a real Ray cluster of two workers, also where one of them dies."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from simset_bench.simset.store import read_allocation

pytest.importorskip("daft", reason="needs the extra `scale`")
pytest.importorskip("ray", reason="needs the extra `scale`")
pytestmark = pytest.mark.slow

# A cluster of one machine has one node for all its cores; this makes several nodes of it.
_CLUSTER = """
import sys, time
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 80_000_000})
for _ in range(2):
    cluster.add_node(num_cpus=1, object_store_memory=200_000_000)
cluster.wait_for_nodes()
workers = [process.process.pid for node in cluster.worker_nodes for process in node.all_processes["raylet"]]
print(cluster.address, *workers, flush=True)
sys.stdin.read()
cluster.shutdown()
"""


@pytest.fixture
def cluster() -> Iterator[tuple[str, list[int]]]:
    """Address of a cluster with a head that runs nothing and two workers, and the process ids of the workers."""
    process = subprocess.Popen(
        [sys.executable, "-c", _CLUSTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        # By default workers give way to every other process, and stand still on a busy machine.
        text=True, env=os.environ | {"RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0", "RAY_worker_niceness": "0"},
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        address, *pids = process.stdout.readline().split()
        yield address, [int(pid) for pid in pids]
    finally:
        process.stdin.close()
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()


def _allocate(path: Path, output: Path, *options: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "simset_bench",
        "allocate",
        "--corpus",
        f"jsonl:{path}",
        "--output",
        str(output),
        "--json",
        *options,
    ]


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=400)


def test_a_cluster_of_two_workers_makes_the_same_allocation(
    cluster: tuple[str, list[int]], make_corpus: Callable[..., Path], tmp_path: Path
) -> None:
    path = make_corpus(40_000)
    local = _run(_allocate(path, tmp_path / "local.parquet", "--engine", "daft", "--num-clusters", "20000"))
    assert local.returncode == 0, local.stderr
    there = _run(_allocate(path, tmp_path / "ray.parquet", "--ray", cluster[0], "--num-clusters", "20000"))
    assert there.returncode == 0, there.stderr
    assert json.loads(there.stdout)["documents"] == 40_000
    assert (tmp_path / "local.parquet").read_bytes() == (tmp_path / "ray.parquet").read_bytes()


def test_a_worker_that_dies_leaves_a_right_result_or_none(
    cluster: tuple[str, list[int]], make_corpus: Callable[..., Path], tmp_path: Path
) -> None:
    path, output = make_corpus(600_000), tmp_path / "a.parquet"
    command = _allocate(path, output, "--ray", cluster[0])
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 200
    while process.poll() is None and time.monotonic() < deadline and not list(tmp_path.glob(".a.parquet.work/part-*")):
        time.sleep(0.02)
    os.kill(cluster[1][0], signal.SIGKILL)
    _, said = process.communicate(timeout=400)
    if process.returncode:
        assert not output.exists()
        assert "Traceback" not in said
        again = _run(command)
        assert again.returncode == 0, again.stderr
    found = read_allocation(output)
    assert found.document_ids == tuple(f"d{n}" for n in range(600_000))
    straight = _run(_allocate(path, tmp_path / "straight.parquet", "--engine", "daft"))
    assert straight.returncode == 0, straight.stderr
    expected = read_allocation(tmp_path / "straight.parquet")
    assert (np.asarray(found.entries) == np.asarray(expected.entries)).all()


def test_no_cluster_at_an_address_is_a_wrong_request(make_corpus: Callable[..., Path], tmp_path: Path) -> None:
    shown = _run(_allocate(make_corpus(4), tmp_path / "a.parquet", "--ray", "127.0.0.1:1"))
    assert shown.returncode == 2
    assert "--ray 127.0.0.1:1: no Ray cluster answers there" in shown.stderr
    assert not (tmp_path / "a.parquet").exists()
