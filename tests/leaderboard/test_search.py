"""Fair searches: as many tries for every method, on other documents, recorded in the entries."""

import json
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from fixtures.warm import Warm
from typer.testing import CliRunner

from simset_bench.cli.app import app
from simset_bench.errors import RequestError
from simset_bench.files import sha256_of_file, write_json
from simset_bench.leaderboard.contrast import contrasts
from simset_bench.leaderboard.pack import pack_study
from simset_bench.leaderboard.reproduce import reproduce
from simset_bench.leaderboard.study import read_study, run_study, searches_of
from simset_bench.leaderboard.table import make_leaderboard
from simset_bench.leaderboard.verify import verify_entry, verify_packed
from simset_bench.package import shipped_grids
from simset_bench.results.entry_files import ENTRY
from simset_bench.results.packed import packed_runs
from simset_bench.results.read import read_runs
from simset_bench.strict_json import parse_json, read_object
from simset_bench.training.sweep.grid import read_grid

ABSURD = 10.0
RATES = {"memory": [ABSURD, 2e-2], "lora": [1e-2, ABSURD], "full": [2e-3, ABSURD]}
BEST = {"memory": 2e-2, "lora": 1e-2, "full": 2e-3}
WriteStudy = Callable[..., str]


def searches_for(methods: list[str]) -> list[dict[str, Any]]:
    return [{"for": {"method": method}, "try": {"lr": RATES[method]}} for method in methods]


@pytest.fixture(scope="module")
def write_study(tiny_llama: Path, tiny_corpus: Path) -> WriteStudy:
    """Writes a study of methods on the first two documents of the tiny corpus, with a search on the last two; parts of
    the search may be others."""

    def write(folder: Path, axes: dict[str, Any] | None = None, **tune: Any) -> str:
        lines = tiny_corpus.read_text(encoding="utf-8").splitlines(keepends=True)
        outside = folder / "outside.jsonl"
        outside.write_text("".join(lines[-2:]), encoding="utf-8")
        crossed = axes or {"method": [*RATES, "in-context"], "mem_seed": [0, 1]}
        fixed = {"model": str(tiny_llama), "corpus": f"jsonl:{tiny_corpus}", "num_docs": 2, "layer": 2, "epochs": 20}
        fixed |= {"entries": 32, "entries_per_doc": 4, "batch_size": 2, "dtype": "float32"}
        learned = [method for method in RATES if method in crossed.get("method", ["memory"])]
        part = {"corpus": f"jsonl:{outside}", "best_by": "docmem/nll", "searches": searches_for(learned)} | tune
        study = {"tasks": ["docmem"], "limit": 2, "tune": part}
        fixed = {name: value for name, value in fixed.items() if name not in crossed}
        path = folder / "fair.yaml"
        path.write_text(yaml.safe_dump({"axes": crossed, "fixed": fixed, "study": study}, sort_keys=False))
        return str(path)

    return write


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory, write_study: WriteStudy) -> Path:
    """A folder with `fair.yaml`, its runs below `outputs` and its entries below `board`."""
    folder = tmp_path_factory.mktemp("studied")
    run_study([write_study(folder)], folder / "outputs", folder / "board")
    return folder


def entries_by_method(board: Path) -> dict[str | None, Path]:
    """An entry of each method, None for the bare base."""
    return {read_object(path.with_name("manifest.json"))["method"]: path.parent for path in board.rglob(ENTRY)}


@pytest.mark.slow
def test_every_method_loses_an_absurd_rate_and_its_entry_says_what_was_tried(studied: Path) -> None:
    entries = entries_by_method(studied / "board")
    for method, best in BEST.items():
        search = read_object(entries[method] / "manifest.json")["search"]
        assert [each["options"]["lr"] for each in search["tries"]] == RATES[method]
        assert [each["runs"] for each in search["tries"]] == [1, 1], "tries have one seed, the same for all"
        assert search["tries"][search["taken"]]["options"] == {"lr": best}
        assert yaml.safe_load((entries[method] / "config.yaml").read_text())["lr"] == best
        assert (search["best_by"], search["documents"], search["for_each"]) == ("docmem/nll", 2, {"method": method})
    assert all("search" not in read_object(entries[name] / "manifest.json") for name in ("in-context", None))
    assert all(verify_entry(path.parent).followed for path in (studied / "board").rglob(ENTRY))


@pytest.mark.slow
def test_the_board_has_tries_beside_the_runs_and_no_row_for_a_try(studied: Path) -> None:
    table = read_runs([studied / "board"])
    rows = {row.labels["method"]: row for row in make_leaderboard(table).rows}
    tries = {name: row.labels["tries"] for name, row in rows.items()}
    assert tries == {**dict.fromkeys(RATES, 2), "in-context": 0, None: 0}
    assert (rows["memory"].runs, rows["lora"].runs) == (2, 2)
    # 2 memories, 2 LoRAs, one run of each of the others, and the base; 6 tries, of which one may not have been finite.
    assert len(read_runs([studied / "outputs"]).runs) == 7
    assert len(read_runs([studied / "outputs" / "fair" / "tries"]).runs) in (5, 6)
    # What each method's search chose is part of the method, and nothing is tried where nothing is trained.
    for between in ("method=memory,lora", "method=memory,in-context"):
        _, (contrast,) = contrasts(table, [between], "docmem/nll")
        assert contrast.labels == {}


@pytest.mark.slow
def test_show_prints_the_table_of_a_search(studied: Path) -> None:
    shown = CliRunner().invoke(app, ["show", str(entries_by_method(studied / "board")["full"])]).stdout
    lines = [line.split() for line in shown.splitlines()]
    assert "the best of 2 tries by docmem/nll (lower is better), on 2 documents of" in " ".join(shown.split())
    assert next(line for line in lines if line[:1] == ["0.002"])[2:] == ["taken"]
    assert ["10.0", "not", "finite"] in lines


@pytest.mark.slow
def test_a_finished_study_tries_nothing_again_and_an_entry_is_one_training(studied: Path, tmp_path: Path) -> None:
    kept = [path for path in studied.rglob("*") if path.is_file() and path.name != "plan.json"]
    before = {path: path.stat().st_mtime_ns for path in kept if path.parent != studied / "board"}
    run_study([str(studied / "fair.yaml")], studied / "outputs", studied / "board")
    assert {path: path.stat().st_mtime_ns for path in before} == before
    options = ["--save-dir", str(studied / "outputs"), "--dry-run", "--json"]
    planned = CliRunner().invoke(app, ["study", str(studied / "fair.yaml"), *options])
    assert parse_json(planned.stdout)["seconds"] == 0
    again = reproduce(entries_by_method(studied / "board")["memory"], tmp_path)
    assert all(each.within for each in again) and len(list(tmp_path.rglob("manifest.json"))) == 1


@pytest.mark.slow
def test_a_packed_entry_keeps_its_search_and_one_that_lacks_it_is_packed_again(studied: Path, tmp_path: Path) -> None:
    grid, place = str(studied / "fair.yaml"), tmp_path / "packed"
    name = entries_by_method(studied / "board")["lora"].name
    before = read_object(studied / "board" / name / "manifest.json")
    run = next(
        path.parent
        for path in (studied / "outputs" / "fair").glob("lr_*/**/manifest.json")
        if read_object(path)["hashes"] == before["hashes"]
    )
    write_json(run / "manifest.json", {field: value for field, value in before.items() if field != "search"})
    pack_study(place, runs=[run])
    assert "search" not in parse_json(packed_runs(place)[name].texts["manifest.json"])
    run_study([grid], studied / "outputs", place)
    search = parse_json(packed_runs(place)[name].texts["manifest.json"])["search"]
    assert search == before["search"] == read_object(run / "manifest.json")["search"]
    assert len(verify_packed(place)) == 7 and read_runs([place]).runs["tries"].max() == 2
    assert "the best of 2 tries" in CliRunner().invoke(app, ["show", str(place / name)]).stdout


@pytest.mark.slow
def test_an_entry_that_took_another_try_than_its_best_is_refused(studied: Path, tmp_path: Path) -> None:
    entry = Path(shutil.copytree(entries_by_method(studied / "board")["memory"], tmp_path / "entry"))
    manifest = read_object(entry / "manifest.json")
    for changed, message in (
        ({"taken": 0}, "took try 0"),
        ({"better": "higher", "taken": 0}, "took lr 10.0, the conf"),
    ):
        write_json(entry / "manifest.json", manifest | {"search": manifest["search"] | changed})
        listed = read_object(entry / ENTRY)
        hashes = {"manifest.json": sha256_of_file(entry / "manifest.json")}
        write_json(entry / ENTRY, listed | {"files": listed["files"] | hashes})
        with pytest.raises(RequestError, match=message):
            verify_entry(entry)


@pytest.mark.slow
def test_a_killed_search_goes_on_where_it_was(
    tmp_path: Path, write_study: WriteStudy, studied: Path, warm: Warm
) -> None:
    grid = write_study(tmp_path, {"method": ["memory", "lora"], "mem_seed": [0, 1]})
    tries = tmp_path / "outputs" / "fair" / "tries"
    options = ["--save-dir", tmp_path / "outputs", "--to", tmp_path / "board", "--quiet"]
    process = warm.start("-m", "simset_bench", "study", grid, *options)
    until = time.monotonic() + 300
    while not list(tries.rglob("manifest.json")):
        assert time.monotonic() < until and process.poll() is None, "no try was finished"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = {path: path.stat().st_mtime_ns for path in tries.rglob("manifest.json")}
    assert not (tries / "searches.json").exists()
    run_study([grid], tmp_path / "outputs", tmp_path / "board")
    assert {path: path.stat().st_mtime_ns for path in done} == done, "a finished try is kept"
    straight, again = (
        {search["for_each"]["method"]: search for search in read_object(folder / "searches.json").values()}
        for folder in (studied / "outputs" / "fair" / "tries", tries)
    )
    for method, search in again.items():
        other = straight[method]
        assert search["taken"] == other["taken"]
        values = [[each["value"] for each in record["tries"]] for record in (search, other)]
        # Answers are asked together with those of other runs, which rounds sums of float32 log-probabilities otherwise.
        assert values[0] == pytest.approx(values[1], rel=1e-4)


@pytest.mark.slow
def test_a_search_that_would_train_or_ask_something_else_is_another_one(studied: Path, tmp_path: Path) -> None:
    written = yaml.safe_load((studied / "fair.yaml").read_text())
    same = tmp_path / "fair.yaml"
    for changed, left in (({}, []), ({"epochs": 21}, [0, 1, 2]), ({"entries": 40}, [0, 1])):
        same.write_text(yaml.safe_dump(written | {"fixed": written["fixed"] | changed}, sort_keys=False))
        assert planned(str(same), studied).left == left


def planned(path: str, folder: Path) -> Any:
    """The searches of a study, planned as `study` does it before any work."""
    return searches_of(read_grid(path), read_study(Path(path)), folder / "outputs")


def test_one_setting_is_taken_for_each_combination_of_the_options_named(
    tmp_path: Path, write_study: WriteStudy
) -> None:
    axes = {"entries": [32, 64], "allocation": ["none", "random"], "mem_seed": [3, 4]}
    searches = [{"try": {"lr": [0.1, 0.2], "warmup": [0.1, 0.2]}}]
    groups = planned(write_study(tmp_path, axes, searches=searches, for_each=["entries"], num_docs=1), tmp_path).groups
    assert [group.labels for group in groups] == [{"entries": 32}, {"entries": 64}]
    assert [len(group.cells) for group in groups] == [4, 4]
    settings = [(run.lr, run.warmup) for runs in groups[0].tries for run in runs if run.allocation == "none"]
    assert settings == [(0.1, 0.1), (0.1, 0.2), (0.2, 0.1), (0.2, 0.2)]
    for runs in groups[1].tries:
        assert [(run.allocation, run.mem_seed, run.num_docs) for run in runs] == [("none", 3, 1), ("random", 3, 1)]


METHODS = {"method": ["memory", "lora", "in-context"]}
UNFAIR = [{"for": {"method": "memory"}, "try": {"lr": [1, 2, 3]}}, {"for": {"method": "lora"}, "try": {"lr": [1, 2]}}]


@pytest.mark.parametrize(
    ("tune", "message"),
    [
        ({"searches": UNFAIR}, r"searches\[1\]: 2 tries, and searches\[0\] has 3: a fair search tries as many"),
        ({"searches": UNFAIR[:1]}, "the cell method lora fits no search"),
        (
            {"searches": [{"try": {"lr": [1]}}, {"for": {"method": "lora"}, "try": {"lr": [2]}}]},
            r"lora fits searches\[0\] and searches\[1\]",
        ),
        ({"searches": [{"try": {"lr": [1]}}, {"for": {"layer": 3}, "try": {"lr": [2]}}]}, r"\[1\]: fits no cell that"),
        ({"searches": [{"try": {"alpha": [1, 2]}}]}, "method lora does not use alpha"),
        ({"searches": [{"try": {"epochs": [1, 2]}}]}, "epochs is fixed already"),
        ({"searches": [{"try": {"mem_seed": [1, 2]}}]}, "mem_seed says what is compared, so it is an axis, or fixed"),
        ({"searches": [{"try": {"lr": [1, 1]}}]}, "1.0 stands there twice"),
        ({"searches": [{"try": {"lr": ["fast"]}}]}, "lr must be float, found 'fast'"),
        ({"searches": [{"tries": {"lr": [1]}}]}, "unknown part 'tries': for, try, best_by"),
        ({"searches": []}, "searches: expected a list of searches"),
        ({"for_each": ["mehtod"]}, r"for_each: 'mehtod' is no axis \(did you mean 'method'\?\)"),
        ({"for_each": ["mem_seed"]}, "is no axis|leave mem_seed out"),
        ({"best_by": "docmem/nl"}, r"no measure of ours that has a better side \(did you mean 'nll'\?\)"),
        ({"best_by": "docmem/nll+qa"}, "no measure of ours that has a better side"),
        ({"best_by": "docmem/nll@orcale"}, "unknown --recall 'orcale'"),
        ({"best_by": "docmem/nll@oracle"}, "best_by docmem/nll@oracle: .*of which method lora has none"),
        ({"corpus": "peple"}, r"study.tune: unknown corpus 'peple' \(did you mean 'people'\?\)"),
        ({"num_docs": 3}, "study.tune: --num-docs 3: corpus .* has only 2 documents"),
    ],
)
def test_a_wrong_search_is_named_before_any_work(
    tmp_path: Path, write_study: WriteStudy, tune: dict[str, Any], message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        planned(write_study(tmp_path, METHODS, **tune), tmp_path)
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("renamed", [False, True])
def test_documents_of_the_study_are_refused_by_id_and_by_text(
    tmp_path: Path, write_study: WriteStudy, tiny_corpus: Path, renamed: bool
) -> None:
    study = write_study(tmp_path, METHODS)
    record = json.loads(tiny_corpus.read_text(encoding="utf-8").splitlines()[0])
    record |= {"id": "another"} if renamed else {"text": "Another lighthouse."}
    others = [record, {"id": "other", "text": "No lighthouse."}]
    (tmp_path / "outside.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in others))
    what = "the text of document another" if renamed else "document skarvik"
    with pytest.raises(RequestError, match=f"outside.jsonl: {what} is one of the study's"):
        planned(study, tmp_path)


def test_a_sweep_does_not_train_what_is_to_be_searched(tmp_path: Path, write_study: WriteStudy) -> None:
    study = write_study(tmp_path, METHODS)
    ran = CliRunner().invoke(app, ["sweep", study, "--save-dir", str(tmp_path / "outputs")])
    assert ran.exit_code == 2 and f"`simset-bench study {study}`" in ran.stderr


def test_the_shipped_study_of_rivals_gives_each_method_three_tries_outside_its_people(tmp_path: Path) -> None:
    path = shipped_grids()["study_rivals"]
    searches = planned(str(path), tmp_path)
    methods = {"memory", "lora", "full", "guidance", "sequence-id", "in-context", "retrieval"}
    assert {cell.method for cell in searches.grid.cells} == methods
    assert {len(group.tries) for group in searches.groups} == {3}
    # Each on three seeds with people of their own, and tried on one seed of others.
    assert {len(group.cells) for group in searches.groups} == {3}
    assert {run.corpus for group in searches.groups for runs in group.tries for run in runs} == {
        "people:count=128,family=4,from=0"
    }


def test_a_search_on_both_sides_is_no_difference_and_one_on_one_side_is(write_run: Callable[..., Path]) -> None:
    def run(method: str, lr: float, tries: int) -> Path:
        options = {"method": method, "layer": None, "allocation": None} if method == "lora" else {}
        folder = write_run({"docmem": {"nll": [1.0, 2.0, 3.0]}}, lr=lr, **options)
        if tries:
            values = [{"options": {"lr": lr + number}, "runs": 1, "value": 1.0} for number in range(tries)]
            search = {"corpus": "c", "documents": 2, "documents_sha256": "h", "best_by": "docmem/nll", "limit": None}
            search |= {"better": "lower", "for_each": {}, "seeds": {}, "tries": values, "taken": 0}
            manifest = read_object(folder / "manifest.json") | {"search": search}
            write_json(folder / "manifest.json", manifest)
        return folder

    tuned = [run("memory", 0.1, 3), run("lora", 0.2, 3)]
    _, (contrast,) = contrasts(read_runs(tuned), ["method=memory,lora"], "docmem/nll")
    assert contrast.difference.value == 0
    for other in (run("lora", 0.2, 0), run("lora", 0.2, 2)):
        with pytest.raises(RequestError, match="equal in all else"):
            contrasts(read_runs([tuned[0], other]), ["method=memory,lora"], "docmem/nll")
    # Without any search there is no column of tries.
    assert "tries" not in make_leaderboard(read_runs([run("memory", 0.1, 0)])).columns
