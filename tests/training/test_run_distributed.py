"""One training in two processes that torchrun starts, over gloo on the CPU: the run of one process, made by both."""

import dataclasses
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from fixtures.closeness import LOG_PROBABILITY, assert_same_training, near
from fixtures.warm import Warm
from typer.testing import CliRunner

from simset_bench.cli.app import app
from simset_bench.corpora.load import load_corpus
from simset_bench.errors import RequestError
from simset_bench.models.loading import Base
from simset_bench.models.memory_file import load_memory
from simset_bench.training.config import TrainConfig
from simset_bench.training.data.segments import pack_batch, part_of, segment_documents
from simset_bench.training.run import train_run

FILES = ["allocation.parquet", "config.yaml", "manifest.json", "memory.safetensors", "metrics.jsonl"]
# Batches of 3 and one of 1 a pass over 7 documents: in each the processes have unlike shares, in the last one none.
TINY = {"num_docs": 7, "batch_size": 3, "epochs": 8, "layer": 1, "entries": 64, "entries_per_doc": 8}

# Trains runs with a checkpoint after every step; with `--die` the second process is killed once one is there.
SCRIPT = """
import os, pathlib, signal, sys, threading, time
from torch import distributed
from simset_bench.errors import RequestError
from simset_bench.training.config import make_config
from simset_bench.training.run import train_run

root, die, *configs = sys.argv[1:]
distributed.init_process_group("gloo")

def when_there_is_a_checkpoint():
    while not list(pathlib.Path(root).rglob("checkpoint.safetensors")):
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGKILL)

if die == "--die" and distributed.get_rank() == 1:
    threading.Thread(target=when_there_is_a_checkpoint).start()
for config in configs:
    try:
        train_run(make_config(pathlib.Path(config)), pathlib.Path(root), resume=True, checkpoint_seconds=0)
    except RequestError as error:
        print(f"process {distributed.get_rank()} refused: {error}", flush=True)
distributed.destroy_process_group()
"""


def torchrun(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Two processes of a module or script, to their end."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, *map(str, arguments)], env=environment, capture_output=True, text=True, timeout=300
    )


def as_torchrun(warm: Warm, *arguments: object) -> tuple[str, str]:
    """What two processes print and say that are started as torchrun starts them, and that end well."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    environment = os.environ | {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": port}
    pair = [
        warm.start(*arguments, env=environment | {"RANK": rank, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": "2"})
        for rank in "01"
    ]
    said = [process.communicate() for process in pair]
    assert [process.returncode for process in pair] == [0, 0], said
    return "".join(output for output, _ in said), "".join(errors for _, errors in said)


@pytest.fixture
def tiny_config(tiny_model: Callable[[str], Path], tiny_corpus: Path) -> Callable[[str], TrainConfig]:
    """A run on the tiny model of a type."""
    corpus = f"jsonl:{tiny_corpus}"
    return lambda kind: TrainConfig(str(tiny_model(kind)), corpus, **TINY, dtype="float32", device="cpu")


@pytest.fixture
def written(tmp_path: Path) -> Callable[[TrainConfig], Path]:
    """The file of a configuration."""

    def write(config: TrainConfig) -> Path:
        path = tmp_path / f"{Path(config.model).name}-{config.lr}.yaml"
        path.write_text(yaml.safe_dump({name: value for name, value in vars(config).items() if value is not None}))
        return path

    return write


def assert_same_run(ours: Path, alone: Path) -> None:
    """Equal but for rounding: sums of gradients are taken in another order."""
    assert sorted(path.name for path in ours.iterdir()) == FILES
    assert (ours / "allocation.parquet").read_bytes() == (alone / "allocation.parquet").read_bytes()
    assert (ours / "config.yaml").read_bytes() == (alone / "config.yaml").read_bytes()
    memories = [load_memory(folder / "memory.safetensors") for folder in (ours, alone)]
    assert_same_training(*memories, TrainConfig().lr, json.loads((alone / "manifest.json").read_text())["steps"])
    lines = [(folder / "metrics.jsonl").read_text().splitlines() for folder in (ours, alone)]
    for mine, its in zip(*lines, strict=True):
        assert json.loads(mine) == near(json.loads(its), LOG_PROBABILITY)


@pytest.mark.slow
def test_two_processes_make_the_run_of_one_also_where_one_of_them_died(
    tiny_config: Callable[[str], TrainConfig],
    written: Callable[[TrainConfig], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    warm: Warm,
) -> None:
    monkeypatch.setenv("SIMSET_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SIMSET_BENCH_PREFIX_CACHE_GB", raising=False)
    neox = tiny_config("gpt_neox")
    # The quiet loss reads background of its own, and is a mean over what both processes hold of a batch.
    quiet = {"beta": 1.0, "background": "people:count=70", "background_docs": 3}
    llama = dataclasses.replace(tiny_config("llama"), **quiet)
    straight, resumed, script = tmp_path / "straight", tmp_path / "resumed", tmp_path / "train.py"
    script.write_text(SCRIPT)

    ran = torchrun("-m", "simset_bench", "train", "--config", written(neox), "--save-dir", straight)
    assert ran.returncode == 0, ran.stderr
    (folder,) = (path.parent for path in straight.rglob("manifest.json"))
    assert ran.stdout.count(str(folder)) == 1
    assert "7 documents, 24 steps" in ran.stdout
    assert json.loads((folder / "manifest.json").read_text())["processes"] == 2
    assert len(list((tmp_path / "cache" / "prefix").iterdir())) == 1
    assert_same_run(folder, train_run(neox, tmp_path / "alone"))

    died = torchrun(script, resumed, "--die", written(neox))
    assert died.returncode == 1
    assert not list(resumed.rglob("manifest.json"))
    with pytest.raises(RequestError, match="was begun by 2 processes, here are 1: go on with as many"):
        train_run(neox, resumed, resume=True)

    another = written(dataclasses.replace(neox, lr=0.5))
    output, errors = as_torchrun(warm, script, resumed, "--live", written(neox), another, written(llama))
    # The first process alone looks at the folder.
    assert all(f"process {rank} refused: {resumed}" in output for rank in (0, 1))
    assert output.count("lr 0.002 there, 0.5 asked") == 2
    assert errors.count("resuming at step") == 1
    again, other = (next(resumed.rglob(f"lm_tiny-{kind}/**/manifest.json")).parent for kind in ("gpt_neox", "llama"))
    assert (again / "memory.safetensors").read_bytes() == (folder / "memory.safetensors").read_bytes()
    assert (again / "metrics.jsonl").read_bytes() == (folder / "metrics.jsonl").read_bytes()
    assert_same_run(other, train_run(llama, tmp_path / "alone"))


def test_what_is_wrong_in_all_processes_is_told_by_the_first(tmp_path: Path) -> None:
    environment = os.environ | {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}
    command = [sys.executable, "-m", "simset_bench", "train", "--alpha", "-1", "--save-dir", str(tmp_path)]
    first, second = (
        subprocess.Popen(
            command, env=environment | {"RANK": rank, "LOCAL_RANK": rank}, stderr=subprocess.PIPE, text=True
        )
        for rank in "01"
    )
    assert first.communicate(timeout=60)[1] == "error: --alpha -1.0: must be a finite number, 0 or more\n"
    assert first.returncode == 2
    # As torchrun ends the others when one has failed; the second waits for that.
    second.terminate()
    assert second.communicate(timeout=60)[1] == ""


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["train", "--method", "lora"], "--method lora: cannot be trained in 2 processes (torchrun), only memory can"),
        (["train", "--allocation", "{allocation}"], "cannot be streamed in 2 processes (torchrun), only in one"),
        (["train", "--device", "cpu:1"], "--device cpu:1: each of 2 processes has its own, use auto, cpu or cuda"),
        (["sweep", "quick"], "torchrun started 2 processes: only `train` works in several"),
        (["eval", "a-run"], "torchrun started 2 processes: only `train` works in several"),
    ],
)
def test_what_several_processes_cannot_do_is_refused(
    command: list[str], told: str, tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allocation = tmp_path / "allocation.parquet"
    if "{allocation}" in command:
        made = CliRunner().invoke(app, ["allocate", "--corpus", f"jsonl:{tiny_corpus}", "--output", str(allocation)])
        assert made.exit_code == 0, made.output
    set_by_torchrun = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "localhost"}
    for name, value in (set_by_torchrun | {"MASTER_PORT": "1"}).items():
        monkeypatch.setenv(name, value)
    ran = CliRunner().invoke(app, [part.format(allocation=allocation) for part in command])
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert told in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_parts_of_a_batch_hold_its_tokens(tiny_base: Callable[[str], Base], tiny_corpus: Path) -> None:
    base = tiny_base("llama")
    segments = segment_documents(load_corpus(f"jsonl:{tiny_corpus}", num_docs=5), base.tokenizer, 24)
    batch = pack_batch(segments, [4, 0, 3, 1], torch.device("cpu"))
    for first, last in ((0, 1), (1, 4), (0, 4), (2, 3)):
        part, tokens = part_of(batch, first, last)
        direct = pack_batch(segments, [4, 0, 3, 1][first:last], torch.device("cpu"))
        for name in ("rows", "documents"):
            assert getattr(part, name) == getattr(direct, name)
        for name in ("segment_of", "real", "predicting", "wanted", "input_ids"):
            assert torch.equal(getattr(part, name), getattr(direct, name)), name
        assert torch.equal(part.packing.ends, direct.packing.ends)
        assert torch.equal(batch.input_ids[tokens], part.input_ids)
