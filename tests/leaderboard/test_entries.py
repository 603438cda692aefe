"""Entries: what they hold, and what comes out again."""

import json
import os
import shutil
from pathlib import Path

import pytest
from fixtures.warm import Warm
from typer.testing import CliRunner

from simset_bench.cli.app import app
from simset_bench.errors import RequestError
from simset_bench.evaluation.request import EvalRequest
from simset_bench.evaluation.run import evaluate_runs
from simset_bench.leaderboard.entries import pack_entry
from simset_bench.leaderboard.table import make_leaderboard
from simset_bench.leaderboard.verify import verify_entry
from simset_bench.results.entry_files import files_of
from simset_bench.results.read import read_runs
from simset_bench.results.samples import read_samples
from simset_bench.training.recall_modes import ROUTER_OF


def test_an_entry_holds_scores_and_samples_and_no_weights(evaluated_run: Path, packed: Path) -> None:
    names = files_of(packed)
    assert {"config.yaml", "manifest.json", "metrics.jsonl", "eval/docmem.free.samples.parquet"} <= set(names)
    assert not any("safetensors" in name or "allocation" in name or "rows" in name for name in names)
    assert (packed / "config.yaml").read_bytes() == (evaluated_run / "config.yaml").read_bytes()
    found = verify_entry(packed)
    assert (found.results, found.followed > 10) == (3, True)
    assert set(found.not_checked) == {"damage.free/nll_base", "damage.free/perplexity_base"}


def test_samples_come_back_from_an_entry_with_short_hashes(evaluated_run: Path, packed: Path) -> None:
    for path in (evaluated_run / "eval").glob("*.samples.jsonl"):
        kept = packed / "eval" / path.name.replace(".jsonl", ".parquet")
        hashes = ("doc_hash", "prompt_hash", "target_hash")
        due = [record | {name: record[name][:16] for name in hashes if name in record} for record in read_samples(path)]
        assert read_samples(kept) == due


def test_an_entry_ranks_as_its_run_and_both_count_once(evaluated_run: Path, packed: Path) -> None:
    (one,) = make_leaderboard(read_runs([evaluated_run])).rows
    (other,) = make_leaderboard(read_runs([packed])).rows
    assert one.intervals == other.intervals and one.intervals["docmem/nll"] is not None
    both = read_runs([evaluated_run, packed])
    assert len(both.runs) == 1 and "a copy of" in both.left_out[0].reason


@pytest.mark.parametrize("recall", ROUTER_OF)
def test_figures_of_routed_recall_follow_from_their_samples_and_have_columns(
    evaluated_run: Path, tmp_path: Path, recall: str
) -> None:
    run = Path(shutil.copytree(evaluated_run, tmp_path / "outputs" / "run"))
    (result,) = evaluate_runs([run], EvalRequest(("docmem",), recall=recall, limit=4, device="cpu"))
    entry = pack_entry(run, tmp_path / "board")
    found = verify_entry(entry)
    assert found.results == 4 and not any(recall in name for name in found.not_checked)
    (row,) = make_leaderboard(read_runs([entry])).rows
    assert row.scores[f"docmem/routed_at_1@{recall}"].value == result["measures"]["routed_at_1"]
    assert row.intervals[f"docmem/nll@{recall}"] is not None


def test_packing_again_replaces_the_entry_and_nothing_else(evaluated_run: Path, tmp_path: Path) -> None:
    first = pack_entry(evaluated_run, tmp_path)
    (first / "stray.txt").write_text("x")
    assert pack_entry(evaluated_run, tmp_path) == first
    assert not (first / "stray.txt").exists() and list(tmp_path.iterdir()) == [first]
    (first / "entry.json").unlink()
    with pytest.raises(RequestError, match="exists and is not an entry"):
        pack_entry(evaluated_run, tmp_path)


def test_a_damaged_run_leaves_its_former_entry_as_it_was(evaluated_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(evaluated_run, tmp_path / "run"))
    entry = pack_entry(run, tmp_path / "board")
    before = {name: (entry / name).read_bytes() for name in files_of(entry)}
    result = run / "eval" / "docmem.free.json"
    whole, samples = result.read_text(), (run / "eval" / "docmem.free.samples.jsonl").read_text()
    harms = [
        (result, whole[:-20]),
        (result, whole.replace('"nll": ', '"nll": 1')),
        (result, whole.replace('"recall": "free"', '"recall": "best"')),
        (run / "eval" / "docmem.free.samples.jsonl", samples.replace('"measures"', '"measure"')),
        (run / "eval" / "docmem.free.samples.jsonl", "".join(samples.splitlines(keepends=True)[1:])),
        (run / "metrics.jsonl", '{"epoch": 0, "cross_entropy": Infinity}\n'),
        (run / "manifest.json", "{}"),
        (run / "config.yaml", (run / "config.yaml").read_text().replace("alpha: 1.0", "alpha: 2.0")),
    ]
    for path, text in harms:
        kept = path.read_text()
        path.write_text(text)
        with pytest.raises(RequestError):
            pack_entry(run, tmp_path / "board")
        path.write_text(kept)
        assert list((tmp_path / "board").iterdir()) == [entry]
        assert {name: (entry / name).read_bytes() for name in files_of(entry)} == before
    memory = run / "memory.safetensors"
    memory.write_bytes(memory.read_bytes()[:-1] + b"x")
    with pytest.raises(RequestError, match="damaged or exchanged"):
        pack_entry(run, tmp_path / "board")


@pytest.mark.parametrize("renames", [0, 1])
def test_a_killed_submit_loses_no_entry_and_is_cleaned_up_after(
    evaluated_run: Path, tmp_path: Path, warm: Warm, renames: int
) -> None:
    """Where folders cannot be exchanged: killed before the former entry is moved aside, and right after it."""
    entry = pack_entry(evaluated_run, tmp_path)
    script = f"""
import os
from pathlib import Path
from simset_bench.leaderboard import entries
entries.exchanged = lambda *folders: False
pack_entry = entries.pack_entry
rename, left = Path.rename, {renames}
def dying(self, target):
    global left
    if left == 0:
        os._exit(9)
    left -= 1
    return rename(self, target)
Path.rename = dying
pack_entry(Path({str(evaluated_run)!r}), Path({str(tmp_path)!r}))
"""
    assert warm.run("-c", script).returncode == 9
    assert any(path.name.startswith(".entry-") for path in tmp_path.iterdir())
    assert pack_entry(evaluated_run, tmp_path) == entry
    assert list(tmp_path.iterdir()) == [entry]
    verify_entry(entry)


def test_what_cannot_hold_entries_is_a_wrong_request(evaluated_run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    os.mkfifo(tmp_path / "pipe")
    for name in ("file", "file/below", "pipe"):
        done = CliRunner().invoke(app, ["submit", str(evaluated_run), "--to", str(tmp_path / name)])
        assert done.exit_code == 2 and "cannot be written" in done.stderr and done.stderr.count("\n") == 1


def test_the_commands(evaluated_run: Path, tmp_path: Path) -> None:
    def ran(*arguments: object) -> tuple[int, str, str]:
        done = CliRunner().invoke(app, [str(argument) for argument in arguments])
        return done.exit_code, done.stdout, done.stderr

    code, out, _ = ran("submit", evaluated_run, "--to", tmp_path / "board", "--json")
    entry = json.loads(out)["entry"]
    assert code == 0 and ran("verify", entry)[0] == 0
    (Path(entry) / "metrics.jsonl").write_text("")
    code, out, err = ran("verify", entry)
    assert (code, out) == (2, "") and "tampered with: the hash of metrics.jsonl" in err
    code, out, err = ran("verify", entry, "--run", evaluated_run)
    assert (code, out) == (2, "") and "only used with --recompute N" in err
    code, out, _ = ran("compare", evaluated_run, evaluated_run, "--json")
    assert code == 0 and {pair["difference"]["value"] for pair in json.loads(out)["measures"]} == {0.0}
    code, out, _ = ran("show", evaluated_run, "--json")
    assert code == 0 and json.loads(out)["scores"]["docmem/nll"]["interval"]
    assert len(json.loads(out)["curves"]) == 2 and len(json.loads(out)["samples"]["location"]) == 4
