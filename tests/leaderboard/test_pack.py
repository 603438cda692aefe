"""Packed studies: they are read as entries in folders are, written whole, and refused where they are not what was
written."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from fixtures.warm import Warm
from typer.testing import CliRunner, Result

from simset_bench.cli.app import app
from simset_bench.errors import RequestError
from simset_bench.files import sha256_of_file
from simset_bench.leaderboard.entries import pack_entry
from simset_bench.leaderboard.entry_folder import entry_folder
from simset_bench.leaderboard.pack import pack_study
from simset_bench.leaderboard.reproduce import recompute_samples, reproduce
from simset_bench.leaderboard.study import run_study
from simset_bench.leaderboard.verify import verify_entry, verify_packed
from simset_bench.results.compare_runs import compare_runs
from simset_bench.results.entry_files import files_of
from simset_bench.results.packed import RUNS, SAMPLES, STUDY, PackedRun, packed_runs, write_packed
from simset_bench.results.packed_columns import columns_of, records_of
from simset_bench.results.read import read_runs
from simset_bench.results.samples import read_samples, samples_file

FILES = (STUDY, RUNS, SAMPLES)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def other_entry(entry: Path, place: Path, memory: str) -> Path:
    """A copy of an entry, as of a run with another memory."""
    copy = Path(shutil.copytree(entry, place))
    hashes = json.loads((copy / "manifest.json").read_text())["hashes"] | {"memory": memory}
    edit(copy / "manifest.json", hashes=hashes)
    edit(copy / "entry.json", files={name: sha256_of_file(copy / name) for name in files_of(copy)})
    return copy


@pytest.fixture
def singles(packed: Path, tmp_path: Path) -> Path:
    """A folder of three entries."""
    folder = tmp_path / "board"
    for number in range(3):
        other_entry(packed, folder / f"entry-{number}", str(number))
    return folder


@pytest.fixture
def study(singles: Path, tmp_path: Path) -> Path:
    """The same entries, packed."""
    folder = Path(shutil.copytree(singles, tmp_path / "packed"))
    pack_study(folder)
    return folder


def bytes_of(study: Path) -> dict[str, bytes]:
    return {name: (study / "packed" / name).read_bytes() for name in FILES}


def test_packing_leaves_two_files_and_their_hashes(study: Path) -> None:
    assert [path.name for path in study.iterdir()] == ["packed"]
    assert {path.name for path in (study / "packed").iterdir()} == set(FILES)
    listed = json.loads((study / "packed" / STUDY).read_text())
    assert listed["runs"] == 3
    assert listed["files"] == {name: sha256_of_file(study / "packed" / name) for name in (RUNS, SAMPLES)}


def test_a_packed_entry_is_a_folder_again_with_the_same_files(singles: Path, study: Path) -> None:
    for single in singles.iterdir():
        with entry_folder(study / single.name) as folder:
            assert files_of(folder) == files_of(single)
            for name in files_of(folder):
                if name.endswith(".parquet"):
                    assert read_samples(folder / name) == read_samples(single / name)
                else:
                    assert (folder / name).read_bytes() == (single / name).read_bytes()
            assert verify_entry(folder).followed == verify_entry(single).followed
        assert not folder.exists()


@pytest.mark.parametrize(
    "command",
    [
        ["leaderboard", "."],
        ["leaderboard", ".", "--json"],
        ["leaderboard", "entry-1", "--format", "csv"],
        ["show", "entry-0"],
        ["show", "entry-0", "--json"],
        ["compare", "entry-0", "entry-1"],
        ["compare", "entry-0", "entry-1", "--json"],
        ["verify", "entry-2"],
        ["verify", "entry-2", "--json"],
    ],
    ids=" ".join,
)
def test_a_packed_study_reads_as_its_entries_do(
    singles: Path, study: Path, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = []
    for folder in (singles, study):
        monkeypatch.chdir(folder)
        done = run(*command)
        outputs.append((done.exit_code, done.stdout, done.stderr))
    assert outputs[0] == outputs[1] and outputs[0][0] == 0


def test_the_page_has_runs_curves_and_samples_of_packed_entries(
    singles: Path, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in (singles, study):
        monkeypatch.chdir(folder)
        assert run("leaderboard", ".", "--html", folder.parent / f"{folder.name}.html").exit_code == 0
    pages = [(folder.parent / f"{folder.name}.html").read_bytes() for folder in (singles, study)]
    assert pages[0] == pages[1]


def test_samples_of_a_notebook_come_from_the_path_that_they_would_have(singles: Path, study: Path) -> None:
    for folder in (singles, study):
        table = read_runs([folder])
        files = [Path(file) for file in table.values["samples"].unique()]
        assert files and all(len(read_samples(file)) > 1 for file in files)
    assert samples_file(study / "entry-0" / "eval" / "docmem.free.json").name == "docmem.free.samples.parquet"


def test_samples_of_a_packed_entry_are_asked_again_and_it_is_trained_again(
    evaluated_run: Path, study: Path, tmp_path: Path
) -> None:
    pack_entry(evaluated_run, study)
    pack_study(study)
    (entry,) = (study / name for name in map(Path, read_runs([study]).runs.index) if "entry-" not in name.name)
    assert recompute_samples(entry, evaluated_run, 2) >= 3 * 2
    with pytest.raises(RequestError, match=f"not the run that {study / 'entry-0'} came from"):
        recompute_samples(study / "entry-0", evaluated_run, 2)
    again = reproduce(entry, tmp_path / "again")
    assert len(again) > 10 and all(each.within for each in again)


def test_an_entry_has_a_quarter_of_each_hash_and_is_asked_the_same_as_its_run(
    evaluated_run: Path, packed: Path, study: Path
) -> None:
    whole = read_samples(evaluated_run / "eval" / "docmem.free.samples.jsonl")
    kept = read_samples(packed / "eval" / "docmem.free.samples.parquet")
    for name in ("doc_hash", "prompt_hash", "target_hash"):
        assert [len(record[name]) for record in whole] == [64] * len(whole)
        assert [record[name] for record in kept] == [record[name][:16] for record in whole]
    for entry in (packed, study / "entry-0"):
        pairs = {pair.measure: pair.difference for pair in compare_runs(evaluated_run, entry)}
        assert pairs["docmem/nll"].documents == 4


def with_whole_hashes(run: PackedRun) -> PackedRun:
    """A packed run with 64 digits a hash, as earlier versions kept them."""
    samples = {}
    for stem, columns in run.samples.items():
        records = records_of(columns)
        for record in records:
            record |= {name: text + "0" * 48 for name, text in record.items() if name.endswith("_hash") and text}
        samples[stem] = columns_of(records)
    return replace(run, samples=samples)


def test_a_study_packed_with_whole_hashes_is_written_anew_without(study: Path) -> None:
    due, runs = bytes_of(study), packed_runs(study)
    write_packed(study, [with_whole_hashes(run) for run in runs.values()])
    assert len(bytes_of(study)[SAMPLES]) > len(due[SAMPLES])
    assert pack_study(study).added == 3
    assert bytes_of(study) == due
    assert pack_study(study).added == 0


def test_adding_entries_gives_the_bytes_of_packing_all_at_once(singles: Path, study: Path, tmp_path: Path) -> None:
    for names in (("entry-1", "entry-0", "entry-2"), ("entry-2", "entry-1", "entry-0")):
        folder = tmp_path / "-".join(names)
        for name in names:
            shutil.copytree(singles / name, folder / name)
            assert pack_study(folder).added == 1
        assert bytes_of(folder) == bytes_of(study)
    before = (study / "packed" / STUDY).stat().st_mtime_ns
    assert pack_study(study).added == 0
    assert (study / "packed" / STUDY).stat().st_mtime_ns == before, "nothing new is not written again"


def test_studies_of_several_machines_are_added(singles: Path, study: Path, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    shutil.copytree(singles / "entry-2", here / "entry-2")
    for name in ("entry-0", "entry-1"):
        shutil.copytree(singles / name, there / name)
    pack_study(there)
    done = run("pack", here, "--add", there, "--add", study, "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout) == {
        "folder": str(here),
        "entries": 3,
        "added": 3,
        "bytes": sum(map(len, bytes_of(study).values())),
    }
    assert bytes_of(here) == bytes_of(study)
    assert (there / "packed").is_dir() and not (here / "entry-2").exists()


def test_another_entry_of_the_same_name_is_refused_and_nothing_changes(
    packed: Path, singles: Path, study: Path, tmp_path: Path
) -> None:
    other_entry(packed, tmp_path / "other" / "entry-1", "another")
    before = bytes_of(study)
    done = run("pack", study, "--add", tmp_path / "other")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == f"error: {tmp_path / 'other'}: has another entry by the name entry-1 than {study}\n"
    assert bytes_of(study) == before


def test_a_damaged_entry_is_refused_and_nothing_changes(singles: Path, study: Path) -> None:
    shutil.copytree(singles / "entry-0", study / "entry-9")
    (study / "entry-9" / "metrics.jsonl").write_text("")
    before = bytes_of(study)
    with pytest.raises(RequestError, match="entry-9: refused: tampered with"):
        pack_study(study)
    assert bytes_of(study) == before and (study / "entry-9").is_dir()


def test_entries_of_a_pack_that_was_killed_before_it_removed_them_count_once(singles: Path, study: Path) -> None:
    before = bytes_of(study)
    shutil.copytree(singles, study, dirs_exist_ok=True)
    (study / ".packed.abcdefgh").mkdir()
    assert len(read_runs([study]).runs) == 3 and not read_runs([study]).left_out
    assert pack_study(study).added == 0
    assert bytes_of(study) == before and [path.name for path in study.iterdir()] == ["packed"]


def sign_again(study: Path, **changes: object) -> None:
    edit(study / "packed" / STUDY, files={n: sha256_of_file(study / "packed" / n) for n in (RUNS, SAMPLES)}, **changes)


def cut(name: str) -> Callable[[Path], None]:
    def harm(study: Path) -> None:
        path = study / "packed" / name
        path.write_bytes(path.read_bytes()[:-200])
        sign_again(study)

    return harm


def with_runs(change: Callable[[list[dict]], list[dict]]) -> Callable[[Path], None]:
    def harm(study: Path) -> None:
        path = study / "packed" / RUNS
        table = pq.read_table(path)
        pq.write_table(pa.Table.from_pylist(change(table.to_pylist()), table.schema), path, use_dictionary=False)
        sign_again(study)

    return harm


def flip(study: Path) -> None:
    path = study / "packed" / SAMPLES
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def first_column(**changes: object) -> Callable[[list[dict]], list[dict]]:
    def change(rows: list[dict]) -> list[dict]:
        rows[0]["results"][0]["columns"][0] |= changes
        return rows

    return change


def first_result(**changes: object) -> Callable[[list[dict]], list[dict]]:
    def change(rows: list[dict]) -> list[dict]:
        rows[0]["results"][0] |= changes
        return rows

    return change


def result_twice(rows: list[dict]) -> list[dict]:
    rows[0]["results"].append(rows[0]["results"][0])
    return rows


def many_runs(study: Path) -> None:
    """A small file of three million rows."""
    path = study / "packed" / RUNS
    row = pq.read_table(path).slice(0, 1)
    empty = pa.Table.from_pylist([row.to_pylist()[0] | {"config": "", "manifest": "", "results": []}], row.schema)
    rows = empty.take(pa.array(np.zeros(1_000_000, np.int32)))
    with pq.ParquetWriter(path, row.schema, use_dictionary=False, compression="zstd", store_schema=False) as writer:
        for _ in range(3):
            writer.write_table(rows)
    sign_again(study)


def in_dictionaries(study: Path) -> None:
    path = study / "packed" / RUNS
    pq.write_table(pq.read_table(path), path)
    sign_again(study)


HARMS = {
    "a changed bit": (flip, "damaged or tampered with: the hash of samples.parquet is not the one"),
    "runs cut short": (cut(RUNS), "runs.parquet is not Parquet"),
    "samples cut short": (cut(SAMPLES), "samples.parquet is not Parquet"),
    "no samples": (lambda study: (study / "packed" / SAMPLES).unlink(), "samples.parquet is missing"),
    "a newer format": (lambda study: sign_again(study, format=2), "of format 2, this version reads 1"),
    "a foreign file": (lambda study: sign_again(study, kind="another"), "foreign: study.json does not belong"),
    "no JSON": (lambda study: (study / "packed" / STUDY).write_text("{"), "study.json is not JSON"),
    "a name twice": (with_runs(lambda rows: [*rows, rows[0]]), "has two entries by the name 'entry-0'"),
    "a name that leads out": (with_runs(lambda rows: [rows[0] | {"name": "../x"}]), "'../x' is not the name of an"),
    "a name that draws": (with_runs(lambda rows: [rows[0] | {"name": "\x1b[2J"}]), "'\\x1b[2J' is not the name of an"),
    "a result that leads out": (with_runs(first_result(name="../../../x")), "'../../../x' is not the name of a result"),
    "a result with a zero byte": (with_runs(first_result(name="a\0")), "is not the name of a result"),
    "a result without a text": (with_runs(first_result(text=None)), "is not the name of a result with a text"),
    "a result twice": (with_runs(result_twice), "stands twice"),
    "no manifest": (with_runs(lambda rows: [rows[0] | {"manifest": None}]), "an entry has no manifest"),
    "a column that is not there": (with_runs(first_column(values=99_999)), "samples that cannot be"),
    "a column before the first": (with_runs(first_column(values=-1)), "samples that cannot be"),
    "an infinite factor": (with_runs(first_column(factor=float("inf"))), "holds a number that cannot be"),
    "other columns": (
        lambda study: (shutil.copy(study / "packed" / SAMPLES, study / "packed" / RUNS), sign_again(study)),
        "runs.parquet has other columns",
    ),
    "more runs than there can be": (many_runs, "runs.parquet has more than 16,777,216 values"),
    "texts that unpack": (in_dictionaries, "runs.parquet has a dictionary for"),
}


@pytest.mark.parametrize(("harm", "reason"), HARMS.values(), ids=HARMS)
def test_what_is_not_as_it_was_written_is_refused_in_one_line(
    study: Path, singles: Path, harm: Callable[[Path], None], reason: str
) -> None:
    harm(study)
    for command in (
        ["leaderboard", study],
        ["leaderboard", study / "entry-0"],
        ["show", study / "entry-0"],
        ["compare", study / "entry-0", study / "entry-1"],
        ["verify", study / "entry-0"],
        ["verify", study],
        ["reproduce", study / "entry-0"],
        ["pack", study],
        ["pack", singles, "--add", study],
    ):
        # Without progress, which a slow machine writes.
        done = run(*command, "--quiet")
        assert (done.exit_code, done.stdout) == (2, ""), command
        assert reason in done.stderr and done.stderr.count("\n") == 1 and len(done.stderr) < 1500
    other = singles.parent / "both"
    shutil.copytree(study, other / "study")
    shutil.copytree(singles, other / "singles")
    shown = json.loads(run("leaderboard", other, "--json").stdout)
    assert sum(row["seeds"] for row in shown["rows"]) == 3
    assert [left["path"] for left in shown["left_out"]] == [str(other / "study" / "packed")]


def test_a_folder_of_that_name_with_anything_else_is_left_alone(singles: Path, study: Path, tmp_path: Path) -> None:
    for folder in (singles, study):
        (folder / "packed").mkdir(exist_ok=True)
        (folder / "packed" / "notes.txt").write_text("mine")
        shutil.copytree(tmp_path / "board" / "entry-0", folder / "entry-9", dirs_exist_ok=True)
        done = run("pack", folder)
        assert done.exit_code == 2 and "holds 'notes.txt'" in done.stderr
        assert (folder / "packed" / "notes.txt").read_text() == "mine" and (folder / "entry-9").is_dir()


def test_a_study_without_its_list_of_files_is_not_packed_over(singles: Path, study: Path) -> None:
    (study / "packed" / STUDY).unlink()
    shutil.copytree(singles / "entry-0", study / "entry-9")
    before = {path.name: path.read_bytes() for path in (study / "packed").iterdir()}
    done = run("pack", study)
    assert done.exit_code == 2 and "packed: refused: foreign: has no study.json" in done.stderr
    assert {path.name: path.read_bytes() for path in (study / "packed").iterdir()} == before
    (left_out,) = json.loads(run("leaderboard", study, "--json").stdout)["left_out"]
    assert left_out["path"] == str(study / "packed")


def test_what_a_linked_entry_leads_to_is_packed_and_stays(singles: Path, study: Path) -> None:
    (study / "linked").symlink_to(singles / "entry-0")
    assert pack_study(study).entries == 4
    assert [path.name for path in study.iterdir()] == ["packed"] and len(list(singles.iterdir())) == 3
    assert pack_study(study).added == 0


def test_an_entry_whose_name_no_packed_one_may_have_is_refused(singles: Path) -> None:
    (singles / "entry-0").rename(singles / "a\nb")
    done = run("pack", singles)
    assert done.exit_code == 2 and "is not the name of an entry: rename its folder" in done.stderr
    assert not (singles / "packed").exists()


def test_a_forged_figure_is_refused_by_verify(study: Path) -> None:
    def change(rows: list[dict]) -> list[dict]:
        for result in rows[1]["results"]:
            whole = json.loads(result["text"])
            whole["measures"] = {name: value / 2 for name, value in whole["measures"].items()}
            result["text"] = json.dumps(whole)
        return rows

    with_runs(change)(study)
    with pytest.raises(RequestError, match="entry-1: refused: tampered with: value of"):
        verify_packed(study)


def test_names_that_are_not_there_are_wrong_requests(study: Path, tmp_path: Path) -> None:
    done = run("show", study / "entri-0")
    assert done.exit_code == 2 and "has no such entry (did you mean 'entry-0'?)" in done.stderr
    for command in (["pack", tmp_path / "none"], ["verify", tmp_path / "none"]):
        done = run(*command)
        assert done.exit_code == 2 and "there is no such folder" in done.stderr
    (tmp_path / "empty").mkdir()
    assert "there are no entries to pack" in run("pack", tmp_path / "empty").stderr
    assert "holds no entries, neither" in run("pack", study, "--add", tmp_path / "empty").stderr
    assert "name one, as" in run("verify", study, "--recompute", 2).stderr


@pytest.mark.slow
def test_a_packed_study_is_done_once_and_goes_on(
    tmp_path: Path, tiny_model: Callable[[str], Path], tiny_corpus: Path
) -> None:
    fixed = {"model": str(tiny_model("gpt_neox")), "corpus": f"jsonl:{tiny_corpus}", "num_docs": 4, "layer": 2}
    fixed |= {"entries": 32, "entries_per_doc": 4, "epochs": 1, "alpha": 1.0}
    asked = {"tasks": ["docmem", "location"], "limit": 4}
    grids = []
    for name, allocations in (("one", ["random"]), ("two", ["random", "simset1"])):
        grids.append(tmp_path / f"{name}.yaml")
        grids[-1].write_text(yaml.safe_dump({"axes": {"allocation": allocations}, "fixed": fixed, "study": asked}))
    place = tmp_path / "leaderboards" / "small"
    counted = run_study([str(grids[0])], tmp_path / "outputs", place, packed=True)
    assert counted["entries"] == 2 and "## docmem/nll" in (place / "figures.md").read_text()
    # It is packed, so it goes on packed.
    run_study([str(grids[1])], tmp_path / "outputs", place)
    assert sorted(path.name for path in place.iterdir()) == ["figures.md", "index.html", "packed"]
    assert len(verify_packed(place)) == 3
    before = bytes_of(place)
    written = (place / "packed" / STUDY).stat().st_mtime_ns
    run_study([str(grids[1])], tmp_path / "outputs", place)
    assert bytes_of(place) == before and (place / "packed" / STUDY).stat().st_mtime_ns == written


@pytest.mark.slow
def test_a_pack_killed_before_any_write_loses_no_entry_and_goes_on(
    singles: Path, study: Path, tmp_path: Path, warm: Warm
) -> None:
    script = """
import sys
from pathlib import Path
from fixtures.kills import die_before_call
from simset_bench.leaderboard.pack import pack_study
die_before_call(int(sys.argv[2]))
pack_study(Path(sys.argv[1]))
"""
    for number in (0, 15, 18, 20, 400):
        folder = tmp_path / f"killed-{number}"
        shutil.copytree(study, folder)
        shutil.copytree(singles / "entry-0", folder / "entry-9")
        done = warm.run("-c", script, folder, number)
        assert done.returncode in (0, -9)
        names = {Path(run).name for run in read_runs([folder]).runs.index}
        # The added one is a copy of entry-0.
        assert {"entry-1", "entry-2"} < names and len(names) == 3
        pack_study(folder)
        assert [path.name for path in folder.iterdir() if path.suffix != ".lock"] == ["packed"]
        assert len(verify_packed(folder)) == 4
