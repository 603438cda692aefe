"""Entries: what they hold, what verification refuses, and what comes out again."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from simset_bench.cli.app import app
from simset_bench.errors import RequestError
from simset_bench.evaluation.baseline import evaluate_baselines_of
from simset_bench.evaluation.run import EvalRequest, evaluate_runs
from simset_bench.files import sha256_of_file
from simset_bench.leaderboard.entries import files_of, pack_entry
from simset_bench.leaderboard.reproduce import recompute_samples, reproduce
from simset_bench.leaderboard.table import make_leaderboard
from simset_bench.leaderboard.verify import verify_entry
from simset_bench.results.read import read_runs
from simset_bench.results.samples import read_samples, write_samples
from simset_bench.training.config import make_config
from simset_bench.training.method_options import METHODS
from simset_bench.training.run import train_run


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def sign_again(entry: Path) -> None:
    """List the hashes that the files have now, as a forger would."""
    files = {name: sha256_of_file(entry / name) for name in files_of(entry)}
    edit(entry / "entry.json", files=files)


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


def raise_score(entry: Path) -> None:
    path = entry / "eval" / "docmem.free.json"
    result = json.loads(path.read_text())
    edit(path, measures=result["measures"] | {"nll": result["measures"]["nll"] / 2})


def shrink_error(entry: Path) -> None:
    path = entry / "eval" / "docmem.free.json"
    result = json.loads(path.read_text())
    edit(path, standard_errors=result["standard_errors"] | {"nll": 1e-6})


def drop_sample(entry: Path) -> None:
    path = entry / "eval" / "docmem.free.samples.parquet"
    write_samples(path, read_samples(path)[1:])


def halve_first_nll(entry: Path) -> None:
    path = entry / "eval" / "docmem.free.samples.parquet"
    records = read_samples(path)
    records[0]["measures"]["nll"] /= 2
    write_samples(path, records)


def share_above_1(entry: Path) -> None:
    path = entry / "eval" / "location.free.samples.parquet"
    records = read_samples(path)
    records[0]["measures"]["on_share"] = 1.5
    write_samples(path, records)


def another_alpha(entry: Path) -> None:
    path = entry / "config.yaml"
    path.write_text(path.read_text().replace("alpha: 1.0", "alpha: 5.0"))


def weights(entry: Path) -> None:
    (entry / "memory.safetensors").write_bytes(b"x")


def no_samples(entry: Path) -> None:
    (entry / "eval" / "docmem.free.samples.parquet").write_bytes(b"PAR1 no more")


@pytest.mark.parametrize("harm", [raise_score, shrink_error, drop_sample, another_alpha, no_samples])
def test_a_changed_file_is_refused_by_its_hash(entry: Path, harm: Callable[[Path], None]) -> None:
    harm(entry)
    with pytest.raises(RequestError, match="refused: tampered with: the hash of"):
        verify_entry(entry)


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (raise_score, "tampered with: value of nll in eval/docmem.free.json is"),
        (shrink_error, "tampered with: standard error of nll"),
        (drop_sample, "tampered with: (value|standard error|n) of"),
        (share_above_1, "on_share is 1.5, out of its range"),
        (another_alpha, "config.yaml is not the one that the run's manifest was written for"),
        (weights, "'memory.safetensors' is not a file of an entry"),
        (no_samples, "docmem.free.json: cannot be read"),
    ],
)
def test_a_forger_who_writes_new_hashes_is_refused_too(entry: Path, harm: Callable[[Path], None], reason: str) -> None:
    harm(entry)
    sign_again(entry)
    with pytest.raises(RequestError, match=f"refused: .*{reason}"):
        verify_entry(entry)


def test_foreign_folders_are_refused(entry: Path, evaluated_run: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"refused: foreign: has no entry.json"):
        verify_entry(evaluated_run)
    (entry / "extra.txt").write_text("x")
    with pytest.raises(RequestError, match=r"extra.txt is not among the files"):
        verify_entry(entry)
    (entry / "extra.txt").unlink()
    edit(entry / "entry.json", schema=99)
    with pytest.raises(RequestError, match="of schema 99, this version reads 1"):
        verify_entry(entry)
    edit(entry / "entry.json", kind="another board's")
    with pytest.raises(RequestError, match="refused: foreign"):
        verify_entry(entry)


def test_recomputing_finds_what_hashes_cannot(entry: Path, evaluated_run: Path) -> None:
    assert recompute_samples(entry, evaluated_run, 2) >= 3 * 2
    halve_first_nll(entry)
    with pytest.raises(RequestError, match=r"refused: nll of sample .* in docmem.free is .*, the run gives"):
        recompute_samples(entry, evaluated_run, 2)
    edit(entry / "manifest.json", hashes={"model": "another"})
    with pytest.raises(RequestError, match="not the run that"):
        recompute_samples(entry, evaluated_run, 2)


@pytest.mark.parametrize("method", ["sequence-id", "lora", "in-context"])
def test_other_methods_are_asked_again_too(method: str, options: dict[str, object], tmp_path: Path) -> None:
    """Of a run where something was learned, of the entry alone where nothing was."""
    chosen = {name: value for name, value in options.items() if name in METHODS[method].options}
    run = train_run(make_config(None, method=method, **chosen), tmp_path / "outputs")
    evaluate_runs([run], EvalRequest(("docmem",), limit=4, device="cpu"))
    entry = pack_entry(run, tmp_path / "entries")
    assert recompute_samples(entry, run, 2) >= 2
    if METHODS[method].learned:
        with pytest.raises(RequestError, match=f"--recompute needs --run RUN: method {method} learns"):
            recompute_samples(entry, None, 2)
    else:
        assert recompute_samples(entry, None, 2) >= 2
    halve_first_nll(entry)
    with pytest.raises(RequestError, match="refused: nll of sample"):
        recompute_samples(entry, run, 2)


def test_a_bare_base_is_asked_again_without_a_run(evaluated_run: Path, tmp_path: Path) -> None:
    evaluate_baselines_of([evaluated_run], EvalRequest(("docmem",), limit=4, device="cpu"), tmp_path)
    (base,) = (path.parent for path in (tmp_path / "baselines").rglob("manifest.json"))
    entry = pack_entry(base, tmp_path / "entries")
    verify_entry(entry)
    assert recompute_samples(entry, None, 2) >= 2
    halve_first_nll(entry)
    with pytest.raises(RequestError, match="refused: nll of sample"):
        recompute_samples(entry, None, 2)


def test_reproducing_gives_the_figures_again(entry: Path, tmp_path: Path) -> None:
    found = reproduce(entry, tmp_path / "again")
    assert len(found) > 10 and all(again.within for again in found)
    assert next(again for again in found if again.measure == "docmem.free/nll").again == pytest.approx(
        json.loads((entry / "eval" / "docmem.free.json").read_text())["measures"]["nll"]
    )


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
