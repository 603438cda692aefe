"""Runs of earlier versions keep their meaning: what they were is read, shown and never taken for a run of today."""

import json
from pathlib import Path

import pytest
import yaml

from simset_bench.errors import RequestError
from simset_bench.results.read import read_runs
from simset_bench.training.config import make_config
from simset_bench.training.run import train_run
from simset_bench.training.run_folder import open_finished
from simset_bench.training.sweep.grid import read_grid
from simset_bench.training.sweep.run import SweepOptions, plan_sweep
from simset_bench.training.train_in_folder import Interrupted

ENTRIES = Path(__file__).parents[2] / "leaderboards" / "smollm2-wikipedia"


@pytest.fixture
def options(tiny_llama: Path, tiny_corpus: Path) -> dict[str, object]:
    chosen = {"model": str(tiny_llama), "corpus": f"jsonl:{tiny_corpus}", "num_docs": 4, "layer": 2, "epochs": 1}
    return chosen | {"allocation": "partitioned", "entries": 64, "entries_per_doc": 8, "device": "cpu"}


@pytest.fixture
def old_run(options: dict[str, object], tmp_path: Path) -> Path:
    """A run folder as version 1 of `partitioned` left it: 16 of 64 entries for each of 4 documents, called by size."""
    folder = train_run(make_config(None, **options | {"partition_by": "whole"}), tmp_path)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump(config | {"partition_by": "size", "entries_per_doc": 8}))
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["allocation_version"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_an_old_run_is_read_as_what_it_was(old_run: Path, tmp_path: Path) -> None:
    for config in (open_finished(old_run).config, make_config(old_run / "config.yaml")):
        assert (config.partition_by, config.entries_per_doc) == ("whole", 16)
    assert read_runs([tmp_path]).runs["entries_per_doc"].tolist() == [16]


def test_an_old_run_is_not_taken_for_one_of_today(old_run: Path, options: dict[str, object], tmp_path: Path) -> None:
    message = "another configuration .*partition_by whole there, size asked; entries_per_doc 16 there, 8 asked"
    with pytest.raises(RequestError, match=message):
        train_run(make_config(None, **options), tmp_path, resume=True)
    del options["allocation"]
    grid = tmp_path / "grid.yaml"
    grid.write_text(yaml.safe_dump({"axes": {"allocation": ["partitioned"]}, "fixed": options}))
    with pytest.raises(RequestError, match=message):
        plan_sweep(read_grid(str(grid)), tmp_path, SweepOptions())


def test_a_sweep_takes_a_run_of_today_for_done(options: dict[str, object], tmp_path: Path) -> None:
    options |= {"partition_by": "whole"}
    train_run(make_config(None, **options), tmp_path)
    grid = tmp_path / "grid.yaml"
    grid.write_text(yaml.safe_dump({"axes": {"allocation": [options.pop("allocation")]}, "fixed": options}))
    assert plan_sweep(read_grid(str(grid)), tmp_path, SweepOptions()).fleets == ()


def test_an_old_checkpoint_is_not_gone_on_with(options: dict[str, object], tmp_path: Path) -> None:
    stopped = make_config(None, **options | {"partition_by": "whole", "epochs": 3})
    with pytest.raises(Interrupted):
        train_run(stopped, tmp_path, checkpoint_seconds=0, watch=lambda progress, _: progress.step == 1)
    (folder,) = [path.parent for path in tmp_path.rglob("checkpoint.safetensors")]
    config = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump(config | {"partition_by": "size", "entries_per_doc": 8}))
    with pytest.raises(RequestError, match="allocation"):
        train_run(make_config(None, **options | {"epochs": 3}), tmp_path, resume=True)


def test_published_entries_of_partitions_show_the_entries_that_documents_had() -> None:
    runs = read_runs([ENTRIES]).runs
    partitioned = runs[runs["allocation"] == "partitioned"]
    assert len(partitioned) > 1 and set(partitioned["partition_by"]) == {"whole"}
    assert (partitioned["entries_per_doc"] == 1024 // partitioned["num_docs"]).all()
