"""Entries: what they hold, and what comes out again."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from simset_bench.cli.app import app
from simset_bench.errors import RequestError
from simset_bench.leaderboard.entries import files_of, pack_entry
from simset_bench.leaderboard.table import make_leaderboard
from simset_bench.leaderboard.verify import verify_entry
from simset_bench.results.read import read_runs
from simset_bench.results.samples import read_samples


def test_an_entry_holds_scores_and_samples_and_no_weights(evaluated_run: Path, packed: Path) -> None:
    names = files_of(packed)
    assert {"config.yaml", "manifest.json", "metrics.jsonl", "eval/docmem.free.samples.parquet"} <= set(names)
    assert not any("safetensors" in name or "allocation" in name or "rows" in name for name in names)
    assert (packed / "config.yaml").read_bytes() == (evaluated_run / "config.yaml").read_bytes()
    found = verify_entry(packed)
    assert (found.results, found.followed > 10) == (3, True)
    assert set(found.not_checked) == {"damage.free/nll_base", "damage.free/perplexity_base"}


def test_samples_come_back_from_an_entry_as_they_were(evaluated_run: Path, packed: Path) -> None:
    for path in (evaluated_run / "eval").glob("*.samples.jsonl"):
        kept = packed / "eval" / path.name.replace(".jsonl", ".parquet")
        assert read_samples(kept) == read_samples(path)


def test_an_entry_ranks_as_its_run_and_both_count_once(evaluated_run: Path, packed: Path) -> None:
    (one,) = make_leaderboard(read_runs([evaluated_run])).rows
    (other,) = make_leaderboard(read_runs([packed])).rows
    assert one.intervals == other.intervals and one.intervals["docmem/nll"] is not None
    both = read_runs([evaluated_run, packed])
    assert len(both.runs) == 1 and "a copy of" in both.left_out[0].reason


def test_packing_again_replaces_the_entry_and_nothing_else(evaluated_run: Path, tmp_path: Path) -> None:
    first = pack_entry(evaluated_run, tmp_path)
    (first / "stray.txt").write_text("x")
    assert pack_entry(evaluated_run, tmp_path) == first
    assert not (first / "stray.txt").exists() and list(tmp_path.iterdir()) == [first]
    (first / "entry.json").unlink()
    with pytest.raises(RequestError, match="exists and is not an entry"):
        pack_entry(evaluated_run, tmp_path)


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
