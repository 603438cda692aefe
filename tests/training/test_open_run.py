"""A finished run, read back from its folder."""

from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures.runs import load_run

from simset_bench.errors import RequestError
from simset_bench.training.config import TrainConfig
from simset_bench.training.run import train_run

FILES = ["allocation.parquet", "config.yaml", "manifest.json", "memory.safetensors", "metrics.jsonl"]


def _unlink(path: Path) -> None:
    path.unlink()


def _cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


@pytest.mark.parametrize("damage", [_unlink, _cut_short])
@pytest.mark.parametrize("name", ["allocation.parquet", "config.yaml", "manifest.json", "memory.safetensors"])
def test_a_missing_or_damaged_file_is_told_by_its_name(
    config: TrainConfig, tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    folder = train_run(config, tmp_path)
    damage(folder / name)
    with pytest.raises(RequestError, match=name.replace(".", r"\.")) as raised:
        load_run(folder)
    assert "\n" not in str(raised.value)
    if (name, damage) != ("manifest.json", _unlink):
        with pytest.raises(RequestError, match=name.replace(".", r"\.") + "|another configuration"):
            train_run(config, tmp_path)


def test_missing_metrics_and_a_folder_that_is_no_run_are_told(config: TrainConfig, tmp_path: Path) -> None:
    folder = train_run(config, tmp_path / "outputs")
    (folder / "metrics.jsonl").unlink()
    with pytest.raises(RequestError, match=r"metrics\.jsonl: missing from the run folder"):
        load_run(folder)
    with pytest.raises(RequestError, match=r"config\.yaml: missing, so .* is no run folder"):
        load_run(tmp_path)
    with pytest.raises(RequestError, match="no-such: there is no such run folder"):
        load_run(tmp_path / "no-such")
