"""Samples asked again, and a run trained again, from an entry."""

import json
from pathlib import Path

import pytest

from simset_bench.errors import RequestError
from simset_bench.evaluation.baseline import evaluate_baselines_of
from simset_bench.evaluation.run import EvalRequest, evaluate_runs
from simset_bench.leaderboard.entries import pack_entry
from simset_bench.leaderboard.reproduce import recompute_samples, reproduce
from simset_bench.leaderboard.verify import verify_entry
from simset_bench.results.samples import read_samples, write_samples
from simset_bench.training.config import make_config
from simset_bench.training.method_options import METHODS
from simset_bench.training.run import train_run


def halve_first_nll(entry: Path) -> None:
    path = entry / "eval" / "docmem.free.samples.parquet"
    records = read_samples(path)
    records[0]["measures"]["nll"] /= 2
    write_samples(path, records)


def test_recomputing_finds_what_hashes_cannot(entry: Path, evaluated_run: Path) -> None:
    assert recompute_samples(entry, evaluated_run, 2) >= 3 * 2
    halve_first_nll(entry)
    with pytest.raises(RequestError, match=r"refused: nll of sample .* in docmem.free is .*, the run gives"):
        recompute_samples(entry, evaluated_run, 2)
    manifest = json.loads((entry / "manifest.json").read_text())
    (entry / "manifest.json").write_text(json.dumps(manifest | {"hashes": manifest["hashes"] | {"model": "another"}}))
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


def _change(entry: Path, measure: str, count: int) -> None:
    """Make the first `count` samples better by 1, where a text's measure is at most 1, or half as likely."""
    path = entry / "eval" / "docmem.free.samples.parquet"
    records = read_samples(path)
    for record in [each for each in records if measure in each["measures"]][:count]:
        value = record["measures"][measure]
        record["measures"][measure] = value / 2 if measure == "nll" else 1.0 - value
    write_samples(path, records)


def test_in_bfloat16_flips_of_texts_pass_and_what_leans_one_way_does_not(
    options: dict[str, object], tmp_path: Path
) -> None:
    run = train_run(make_config(None, **options | {"dtype": "bfloat16", "num_docs": 12}), tmp_path / "outputs")
    evaluate_runs([run], EvalRequest(("docmem",), device="cpu"))
    for measure, count, told in (
        ("exact_match", 1, None),
        ("exact_match", 99, "which rounding in bfloat16 does not explain"),
        ("nll", 1, "refused: nll of sample"),
    ):
        entry = pack_entry(run, tmp_path / f"entries-{measure}-{count}")
        _change(entry, measure, count)
        if told is None:
            assert recompute_samples(entry, run, 99) >= 1
        else:
            with pytest.raises(RequestError, match=told):
                recompute_samples(entry, run, 99)
