"""A finished run, read back from its folder."""

import shutil
from collections.abc import Callable
from dataclasses import replace
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


def test_a_run_of_relative_paths_opens_from_any_folder(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its configuration keeps the paths as they were given, so that it says nothing of anybody's folders."""
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    (project / "data").mkdir(parents=True)
    elsewhere.mkdir()
    shutil.copyfile(config.corpus.removeprefix("jsonl:"), project / "data" / "corpus.jsonl")
    monkeypatch.chdir(project)
    folder = train_run(replace(config, corpus="jsonl:data/corpus.jsonl"), Path("outputs")).absolute()
    assert "corpus: jsonl:data/corpus.jsonl\n" in (folder / "config.yaml").read_text()
    here = [document.id for document in load_run(folder).documents]
    monkeypatch.chdir(elsewhere)
    assert [document.id for document in load_run(folder).documents] == here
    moved = Path(shutil.move(folder, elsewhere / "run"))
    with pytest.raises(RequestError, match=r"memorised jsonl:data/corpus.jsonl, which is looked for from here and"):
        load_run(moved)
