"""Verification: what it refuses, whoever changed it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from simset_bench.errors import RequestError
from simset_bench.evaluation.estimates import Estimate
from simset_bench.evaluation.follows import recomputed
from simset_bench.files import sha256_of_file
from simset_bench.leaderboard.verify import verify_entry
from simset_bench.results.entry_files import files_of
from simset_bench.results.samples import read_samples, write_samples


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def sign_again(entry: Path) -> None:
    """List the hashes that the files have now, as a forger would."""
    files = {name: sha256_of_file(entry / name) for name in files_of(entry)}
    edit(entry / "entry.json", files=files)


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
        (no_samples, "docmem.free.samples.parquet is not Parquet"),
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
    with pytest.raises(RequestError, match=r"extra.txt' is not among the files"):
        verify_entry(entry)
    (entry / "extra.txt").unlink()
    edit(entry / "entry.json", schema=99)
    with pytest.raises(RequestError, match="of schema 99, this version reads 1"):
        verify_entry(entry)
    edit(entry / "entry.json", kind="another board's")
    with pytest.raises(RequestError, match="refused: foreign"):
        verify_entry(entry)


def test_a_specificity_of_an_earlier_version_follows_with_its_floor() -> None:
    """Before version 3 the others' rise counted as at least 0.001; today there is no ratio over a fall."""
    rises = [(1.0, 0.0), (3.0, -0.1), (2.0, 0.04)]
    records = [
        {"cluster": f"d{n}", "measures": {"erasure_own": own, "erasure_others": others}}
        for n, (own, others) in enumerate(rises)
    ]
    earlier = recomputed("specificity", records, floor=1e-3)
    assert earlier is not None and earlier.value == pytest.approx(2.0 / 1e-3)
    assert recomputed("specificity", records) is None
    assert recomputed("specificity", records[2:]) == Estimate(50.0, None, 1)
