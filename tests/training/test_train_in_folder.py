"""Killed at any moment and started again, a run ends as if never interrupted."""

import os
from pathlib import Path

import pytest
from fixtures.warm import Warm

FILES = ["allocation.parquet", "config.yaml", "manifest.json", "memory.safetensors", "metrics.jsonl"]


@pytest.fixture(scope="module")
def crashed(
    tiny_llama: Path, tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory, warm: Warm
) -> tuple[Path, str]:
    """Folder of runs that `crashes.py` made, and what it printed."""
    root = tmp_path_factory.mktemp("crashes")
    environment = os.environ | {"TOKENIZERS_PARALLELISM": "false"}
    command = [Path(__file__).with_name("crashes.py"), tiny_llama, tiny_corpus, root]
    made = warm.run(*command, env=environment, timeout=1200)
    assert made.returncode == 0, made.stderr
    return root, made.stdout


def assert_same_run(found: Path, straight: Path) -> None:
    (ours,), (theirs,) = (list(root.rglob("alpha_1.0")) for root in (found, straight))
    assert sorted(path.name for path in ours.iterdir()) == FILES
    for name in FILES:
        if name != "manifest.json":
            assert (ours / name).read_bytes() == (theirs / name).read_bytes(), f"{ours / name}"


@pytest.mark.slow
def test_killed_before_any_of_its_writes_a_run_ends_with_the_same_bytes(crashed: tuple[Path, str]) -> None:
    root, printed = crashed
    runs = sorted((root / "killed_at_writes").iterdir())
    # The last of them was not killed: it had fewer writes than that.
    assert f"writes {len(runs) - 1}\n" in printed
    assert len(runs) > 30
    for run in runs:
        assert_same_run(run, root / "few")


@pytest.mark.slow
def test_killed_at_random_moments_a_run_ends_with_the_same_bytes(crashed: tuple[Path, str]) -> None:
    root, printed = crashed
    # When a kill lands is the machine's affair: a fast one may be done before the last. Without any, nothing is shown.
    interrupted = int(printed.split("\ninterrupted ")[1].split()[0])
    assert interrupted >= 3
    assert_same_run(root / "killed_at_random", root / "many")


@pytest.mark.slow
def test_a_chain_of_ten_killed_at_random_moments_ends_with_the_same_bytes(crashed: tuple[Path, str]) -> None:
    root, printed = crashed
    assert int(printed.split("chain interrupted ")[1].split()[0]) >= 3
    folders = sorted(path.parent.relative_to(root / "chain") for path in (root / "chain").rglob("memory.safetensors"))
    assert len(folders) == 10
    for folder in folders:
        ours, theirs = root / "killed_chain" / folder, root / "chain" / folder
        assert sorted(path.name for path in ours.iterdir()) == FILES
        for name in ("allocation.parquet", "memory.safetensors", "metrics.jsonl"):
            assert (ours / name).read_bytes() == (theirs / name).read_bytes(), ours / name


@pytest.mark.slow
def test_a_stage_killed_before_any_of_its_writes_ends_with_the_same_bytes(crashed: tuple[Path, str]) -> None:
    root, printed = crashed
    runs = sorted((root / "killed_stages").iterdir())
    assert f"writes of a stage {len(runs) - 1}\n" in printed
    assert len(runs) > 30
    for run in runs:
        assert_same_run(run, root / "grown")
