"""Reading run folders: everything that can be read is, and everything else is named with its reason."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from simset_bench.results.read import read_runs

Write = Callable[..., Path]
MEASURES = {"docmem": {"nll": [1.0, 2.0, 3.0, 6.0]}, "docmem@oracle": {"nll": [0.5, 0.5, 0.5, 0.5]}}


def test_every_run_and_measure_is_read(write_run: Write, tmp_path: Path) -> None:
    first, second = write_run(MEASURES, alpha=0.2), write_run(MEASURES, allocation="none", layer=3)
    table = read_runs([tmp_path])
    assert table.left_out == ()
    assert table.runs.index.tolist() == [str(first), str(second)]
    assert table.runs["alpha"].tolist() == [0.2, 1.0]
    assert table.runs["layer"].tolist() == [22, 3]
    assert table.values["measure"].tolist() == ["docmem/nll", "docmem/nll@oracle"] * 2
    assert table.values["value"].tolist() == [3.0, 0.5] * 2
    assert table.values["better"].tolist() == ["lower"] * 4
    assert all(Path(file).is_file() for file in table.values["samples"])


def test_runs_that_differ_only_in_seeds_have_one_cell(write_run: Write, tmp_path: Path) -> None:
    for options in ({}, {"mem_seed": 1}, {"seed": 3, "mem_seed": 2}, {"alpha": 2.0}, {"lr": 0.1}):
        write_run(**options)
    cells = read_runs([tmp_path]).runs["cell"].tolist()
    assert cells[0] == cells[1] == cells[2]
    assert len(set(cells)) == 3


def test_clusters_that_a_similarity_led_to_do_not_part_seeds(write_run: Write, tmp_path: Path) -> None:
    for seed, clusters in enumerate((3, 4)):
        write_run(min_similarity=0.5, num_clusters=clusters, mem_seed=seed)
        write_run(num_clusters=clusters, mem_seed=seed)
    table = read_runs([tmp_path])
    assert table.runs["cell"].nunique() == 3
    assert table.runs["num_clusters"].tolist() == [3, 3, 4, 4]


def test_how_partitions_are_cut_is_an_option_of_partitioned_runs_alone(write_run: Write, tmp_path: Path) -> None:
    """Beside `random`, whose configuration has a value too, it would look like a difference of the rows."""
    cut = {
        allocation: write_run(allocation=allocation, partition_by="length") for allocation in ("partitioned", "random")
    }
    shown = read_runs([tmp_path]).runs["partition_by"]
    assert shown[str(cut["partitioned"])] == "length"
    assert pd.isna(shown[str(cut["random"])])


def test_qa_and_directions_of_lm_evals_own_tasks_are_read(write_run: Write, tmp_path: Path) -> None:
    path = write_run({"sciq": {"acc": [1.0, 0.0]}}) / "eval" / "sciq.free.json"
    result = json.loads(path.read_text()) | {"qa_finetuned": True, "higher_is_better": {"acc": True}}
    path.write_text(json.dumps(result))
    values = read_runs([tmp_path]).values
    assert values["measure"].tolist() == ["sciq/acc+qa"] and values["better"].tolist() == ["higher"]


def test_copies_count_once_with_the_evaluations_of_all(write_run: Write, tmp_path: Path) -> None:
    run = write_run({"docmem": {"nll": [1.0, 2.0]}})
    copy = Path(shutil.copytree(run, tmp_path / "published"))
    shutil.copytree(write_run({"docqa": {"f1": [0.5, 0.6]}}) / "eval", copy / "eval", dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "outputs" / "run_1")
    table = read_runs([tmp_path])
    assert len(table.runs) == 1
    assert table.values["measure"].tolist() == ["docmem/nll", "docqa/f1"]
    (left,) = table.left_out
    assert left.path == copy and left.reason == f"a copy of {run}, counted once"


def cut(path: Path) -> None:
    path.write_text(path.read_text()[:-10])


def replaced(**changes: object) -> Callable[[Path], None]:
    return lambda path: path.write_text(json.dumps(json.loads(path.read_text()) | changes)) and None


@pytest.mark.parametrize(
    ("file", "harm", "reason"),
    [
        ("config.yaml", Path.unlink, "missing"),
        ("config.yaml", lambda path: path.write_text("a: [1"), "not YAML"),
        ("config.yaml", lambda path: path.write_text("[1, 2]"), "not a run's configuration"),
        ("config.yaml", lambda path: path.write_bytes(b"\xff\xfe"), "can't decode"),
        ("config.yaml", lambda path: path.write_text("model: m\nalpha: .nan"), "alpha cannot be nan"),
        ("config.yaml", lambda path: path.write_text("model: m\nlayer: [2]"), r"layer cannot be \[2\]"),
        ("config.yaml", lambda path: path.write_text("model: m\nlayer: 99999999999999999999"), "layer cannot be"),
        ("config.yaml", lambda path: path.write_text("model: m\nallocation: 3"), "allocation cannot be 3"),
        ("config.yaml", lambda path: path.write_text("model: m\nepochs: 2024-01-01"), "epochs cannot be"),
        ("manifest.json", Path.unlink, "training is not finished"),
        ("manifest.json", cut, "not JSON"),
        ("manifest.json", lambda path: path.write_text("[]"), "expected an object, found list"),
        ("manifest.json", lambda path: path.write_text("{}"), "not a run's manifest"),
        ("manifest.json", lambda path: path.write_text("[" * 100_000), "not JSON"),
        ("manifest.json", replaced(hashes="none"), "not a run's manifest"),
        ("manifest.json", replaced(model=["m"]), "model cannot be"),
        ("eval/docmem.free.json", cut, "not JSON"),
        ("eval/docmem.free.json", replaced(schema=9), "of schema 9, this version reads 1"),
        ("eval/docmem.free.json", replaced(measures={"nll": "low"}), "no finite number"),
        ("eval/docmem.free.json", replaced(measures={"nll": float("inf")}), "Infinity is no number"),
        ("eval/docmem.free.json", replaced(measures={"f1": 1.0}), "not an evaluation"),
        ("eval/docmem.free.json", replaced(label={}), "not an evaluation"),
        ("eval/docmem.free.json", lambda path: path.write_text("{}"), "not an evaluation"),
    ],
)
def test_what_is_damaged_is_named_and_the_rest_is_read(
    write_run: Write, tmp_path: Path, file: str, harm: Callable[[Path], object], reason: str
) -> None:
    harmed, whole = write_run(MEASURES), write_run(MEASURES)
    harm(harmed / file)
    table = read_runs([tmp_path])
    (left,) = table.left_out
    assert left.path in (harmed / file, harmed)
    assert re.search(reason, left.reason), left.reason
    assert str(whole) in table.runs.index
    if file.startswith("eval"):
        assert table.values[table.values["run"] == str(harmed)]["measure"].tolist() == ["docmem/nll@oracle"]
    else:
        assert str(harmed) not in table.runs.index


def test_what_a_killed_command_did_not_finish_is_not_read(write_run: Write, tmp_path: Path) -> None:
    run = write_run(MEASURES)
    whole = (run / "eval" / "docmem.free.json").read_text()
    (run / "eval" / ".docmem.free.json.x1.json").write_text(whole)
    (run / "eval" / ".docmem.free.json.x2.json").write_text(whole[:50])
    table = read_runs([tmp_path])
    assert len(table.values) == 2 and not table.left_out


def test_an_empty_folder_gives_an_empty_table(tmp_path: Path) -> None:
    table = read_runs([tmp_path, tmp_path / "nowhere"])
    assert table.runs.empty and table.values.empty and not table.left_out


@pytest.mark.parametrize(
    "line", ["rank: 7", "run: elsewhere", "documents: 9", "'=1+1': 2", "'': 1", "1: 2", "alpha: 9.0"]
)
def test_a_configuration_cannot_stand_for_what_a_board_says_itself(write_run: Write, tmp_path: Path, line: str) -> None:
    good, hostile = write_run(MEASURES, alpha=0.2), write_run(MEASURES)
    with (hostile / "config.yaml").open("a") as config:
        config.write(f"{line}\n")
    table = read_runs([tmp_path])
    assert table.runs.index.tolist() == [str(good)]
    (left,) = table.left_out
    assert left.path == hostile / "config.yaml" and re.search("is no name of an option|stands twice", left.reason)


def test_a_folder_whose_name_is_not_utf8_is_left_out(write_run: Write, tmp_path: Path) -> None:
    good, odd = write_run(MEASURES, alpha=0.2), write_run(MEASURES)
    odd.rename(tmp_path / "caf\udce9")
    table = read_runs([tmp_path])
    assert table.runs.index.tolist() == [str(good)]
    assert [left.reason for left in table.left_out] == ["its name is not UTF-8"]


def _set_base(run: Path, revision: str) -> None:
    path = run / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["hashes"]["model"] = revision
    path.write_text(json.dumps(manifest))


def test_runs_on_other_bases_of_one_name_are_no_seeds_of_each_other(write_run: Write, tmp_path: Path) -> None:
    revisions = ["sha256:aa:one", "sha256:aa:one", "sha256:aa:two", "sha256:bb:one", "0123456789abcdef"]
    for seed, revision in enumerate(revisions):
        _set_base(write_run(mem_seed=seed), revision)
    write_run(model="other")
    runs = read_runs([tmp_path]).runs
    names = runs["base_revision"].tolist()
    assert names[:5] == ["aa.one", "aa.one", "aa.two", "bb.one", "01234567"] and pd.isna(names[5])
    assert runs["cell"].nunique() == 5 and runs["cell"].iloc[0] == runs["cell"].iloc[1]


def test_a_revision_of_weights_alone_is_that_of_the_same_weights(write_run: Write, tmp_path: Path) -> None:
    for seed, revision in enumerate(["sha256:aa", "sha256:aa:one"]):
        _set_base(write_run(mem_seed=seed), revision)
    runs = read_runs([tmp_path]).runs
    assert runs["cell"].nunique() == 1 and "base_revision" not in runs


@pytest.mark.parametrize(("others", "is_read"), [((-0.04, 0.02, -0.05, 0.01), False), ((0.2, 0.21, 0.19, 0.2), True)])
def test_a_specificity_over_others_that_did_not_rise_is_not_read(
    write_run: Write, tmp_path: Path, others: tuple[float, ...], is_read: bool
) -> None:
    """Earlier versions gave one there: the others' rise counted as at least 0.001 nats."""
    rises = {"erasure_own": [0.1] * 4, "erasure_others": list(others), "specificity": [70.1] * 4}
    write_run({"location": rises})
    measures = read_runs([tmp_path]).values["measure"].tolist()
    assert ("location/specificity" in measures) == is_read and "location/erasure_own" in measures
