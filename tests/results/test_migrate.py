"""Manifests of earlier versions are read as the newest."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from simset_bench.results.migrate import RUN_SCHEMA, migrated
from simset_bench.results.read import read_runs

Write = Callable[..., Path]


def test_a_manifest_of_before_methods_is_of_the_memory() -> None:
    assert migrated({"schema": 1, "kind": "train"}) == {"schema": RUN_SCHEMA, "kind": "train", "method": "memory"}
    assert migrated({"schema": 1, "kind": "baseline"})["method"] is None


def test_what_a_manifest_says_is_kept() -> None:
    assert migrated({"schema": 1, "kind": "train", "method": "lora"})["method"] == "lora"
    newest = {"schema": RUN_SCHEMA, "method": "x", "other": 1}
    assert migrated(newest) == newest


def test_every_version_up_to_the_newest_is_read() -> None:
    for version in range(1, RUN_SCHEMA + 1):
        assert migrated({"schema": version, "method": "memory"})["schema"] == RUN_SCHEMA


def test_steps_are_taken_one_after_the_other() -> None:
    steps = {1: lambda found: found | {"first": True}, 2: lambda found: found | {"second": found["first"]}}
    assert migrated({"schema": 1}, 3, steps) == {"schema": 3, "first": True, "second": True}


@pytest.mark.parametrize("version", [RUN_SCHEMA + 1, 0, None, "1", True])
def test_other_versions_are_named(version: object) -> None:
    with pytest.raises(ValueError, match=r"of schema .*, (this version reads up to|which this version no longer)"):
        migrated({"schema": version})


def test_the_table_has_the_method_and_leaves_later_versions_out(write_run: Write, tmp_path: Path) -> None:
    old, new, later = write_run(mem_seed=0), write_run(method="lora"), write_run(mem_seed=2)
    for folder, version in ((old, 1), (later, 99)):
        path = folder / "manifest.json"
        manifest = json.loads(path.read_text()) | {"schema": version}
        path.write_text(json.dumps({name: value for name, value in manifest.items() if name != "method"}))
    table = read_runs([tmp_path])
    assert table.runs["method"].to_dict() == {str(old): "memory", str(new): "lora"}
    (left,) = table.left_out
    assert left.path == later / "manifest.json" and "of schema 99, this version reads up to 2" in left.reason


def test_folders_that_a_killed_command_left_are_no_runs(write_run: Write, tmp_path: Path) -> None:
    write_run().rename(tmp_path / ".entry-x")
    assert read_runs([tmp_path]).runs.empty
