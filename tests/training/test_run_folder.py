"""The folder of a run: what it holds, and what may be written into it."""

import dataclasses
from pathlib import Path

import pytest
from fixtures.runs import load_run

from simset_bench.errors import RequestError
from simset_bench.simset.store import read_allocation_manifest
from simset_bench.training.config import TrainConfig
from simset_bench.training.run import train_run
from simset_bench.training.run_folder import read_folder_config

FILES = ["allocation.parquet", "config.yaml", "manifest.json", "memory.safetensors", "metrics.jsonl"]


def test_a_run_folder_holds_exactly_its_files_at_the_designs_place(config: TrainConfig, tmp_path: Path) -> None:
    folder = train_run(config, tmp_path / "outputs")
    assert folder == tmp_path / "outputs/trains/lm_model/layer_3/6/simset2_0/alpha_1.0"
    assert sorted(path.name for path in folder.iterdir()) == FILES
    clustered = train_run(
        dataclasses.replace(config, num_clusters=4, allocation="random", mem_seed=3, seed=5, alpha=0.2, layer=1),
        tmp_path / "outputs",
    )
    assert clustered == tmp_path / "outputs/trains/lm_model/layer_1/4/docs_6/seed_5/random_3/alpha_0.2"


def test_the_clusters_that_a_similarity_leads_to_name_the_folder(config: TrainConfig, tmp_path: Path) -> None:
    """Of six documents of the corpus two pairs are copies but for a word."""
    asked = dataclasses.replace(config, min_similarity=0.5)
    folder = train_run(asked, tmp_path / "outputs")
    count = read_allocation_manifest(folder / "allocation.parquet").clusters
    assert 1 < count < 6
    assert folder == tmp_path / f"outputs/trains/lm_model/layer_3/{count}/docs_6/simset2_0/alpha_1.0"
    kept = read_folder_config(folder)
    assert (kept.min_similarity, kept.num_clusters) == (0.5, count)
    again = train_run(kept, tmp_path / "again")
    for name in ("config.yaml", "allocation.parquet", "memory.safetensors"):
        assert (again / name).read_bytes() == (folder / name).read_bytes(), name
    other = dataclasses.replace(kept, num_clusters=count + 1)
    with pytest.raises(RequestError, match=rf"num_clusters {count + 1}: min_similarity 0\.5 leads to {count} clusters"):
        train_run(other, tmp_path / "other")


def test_how_clusters_are_made_is_kept_where_it_is_not_single_linkage(config: TrainConfig, tmp_path: Path) -> None:
    for cluster_by, kept in {None: None, "linkage": None, "topic": "topic"}.items():
        asked = dataclasses.replace(config, num_clusters=4, cluster_by=cluster_by)
        folder = train_run(asked, tmp_path / str(cluster_by))
        assert read_folder_config(folder).cluster_by == kept
        assert read_allocation_manifest(folder / "allocation.parquet").cluster_by == kept
        assert folder.relative_to(tmp_path).parts[4:6] == ("4", "docs_6")


def test_overwrite_destroys_nothing_that_is_not_a_runs(config: TrainConfig, tmp_path: Path) -> None:
    folder = train_run(config, tmp_path)
    (folder / "notes.txt").write_text("mine", encoding="utf-8")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious.json").write_text("{}", encoding="utf-8")
    (folder / "eval").symlink_to(elsewhere)
    train_run(config, tmp_path, overwrite=True)
    assert (folder / "notes.txt").read_text(encoding="utf-8") == "mine"
    assert (elsewhere / "precious.json").exists()
    (folder / "config.yaml").unlink()
    for overwrite in (False, True):
        with pytest.raises(RequestError, match=r"holds manifest\.json but no config\.yaml, so it is no run folder"):
            train_run(config, tmp_path, overwrite=overwrite)
    assert (folder / "memory.safetensors").exists()


def test_overwrite_makes_a_run_with_any_damage_whole_again(config: TrainConfig, tmp_path: Path) -> None:
    folder = train_run(config, tmp_path)
    memory = (folder / "memory.safetensors").read_bytes()
    for name in FILES:
        (folder / name).write_bytes(b"\x00damaged")
    train_run(config, tmp_path, overwrite=True)
    assert (folder / "memory.safetensors").read_bytes() == memory
    load_run(folder)


def test_two_processes_do_not_train_in_one_folder(config: TrainConfig, tmp_path: Path) -> None:
    from simset_bench.training.run_folder import held

    folder = train_run(config, tmp_path)
    with held(folder), pytest.raises(RequestError, match="another process is training in this folder"):
        train_run(config, tmp_path, overwrite=True)
    # A lock file that a killed process left behind holds nothing.
    (folder / ".lock").touch()
    train_run(config, tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == FILES


def test_a_save_dir_that_cannot_be_one_is_told(config: TrainConfig, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        RequestError, match=r"file/trains/.*: cannot be written \(Not a directory\), use another --save-dir"
    ):
        train_run(config, tmp_path / "file")
