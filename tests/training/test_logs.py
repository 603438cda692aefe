"""Copies of a training's epochs, as TensorBoard's own reader finds them; the run folder stays the record."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from typer.testing import CliRunner

from simset_bench.cli.app import app
from simset_bench.errors import RequestError
from simset_bench.training import logs
from simset_bench.training.config import TrainConfig
from simset_bench.training.logs import check_log, logging_to
from simset_bench.training.run_folder import clear_run


@pytest.fixture
def options(tiny_llama: Path, tiny_corpus: Path, tmp_path: Path) -> list[str]:
    """What trains a tiny memory in a moment."""
    chosen = ["--model", tiny_llama, "--corpus", f"jsonl:{tiny_corpus}", "--save-dir", tmp_path / "out", "--num-docs"]
    return [str(each) for each in [*chosen, 4, "--entries", 64, "--entries-per-doc", 8, "--epochs", 3]]


def curves(run: Path) -> dict[str, list[tuple[int, float]]]:
    """Steps and values of every name in a run's event files."""
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    return {name: [(each.step, each.value) for each in events.Scalars(name)] for name in events.Tags()["scalars"]}


def assert_copies(run: Path) -> None:
    """The event files of a run hold the lines of its metrics, each once."""
    epochs = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    names = [name for name in epochs[0] if name != "epoch"]
    assert "cross_entropy" in names
    # Event files hold float32.
    wanted = {
        f"train/{name}": [(epoch["epoch"], pytest.approx(epoch[name], rel=1e-6)) for epoch in epochs] for name in names
    }
    assert curves(run) == wanted


def test_a_training_sends_its_metrics_and_leaves_the_same_run(options: list[str], tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, ["train", *options, "--log-to", "tensorboard", "--json"])
    assert ran.exit_code == 0, ran.output
    run = Path(json.loads(ran.stdout)["run"])
    assert_copies(run)
    plain = CliRunner().invoke(app, ["train", *options, "--save-dir", str(tmp_path / "plain"), "--json"])
    other = Path(json.loads(plain.stdout)["run"])
    assert not (other / "tensorboard").exists()
    for name in ("memory.safetensors", "metrics.jsonl", "config.yaml"):
        assert (run / name).read_bytes() == (other / name).read_bytes()
    clear_run(run)
    assert not list(run.glob("[!.]*")), "a run that is replaced leaves no event files"


def test_every_run_of_a_sweep_is_sent(write_grid: Callable[..., Path], tmp_path: Path) -> None:
    grid = write_grid({"method": ["memory", "lora"], "mem_seed": [0, 1]})
    ran = CliRunner().invoke(app, ["sweep", str(grid), "--save-dir", str(tmp_path / "out"), "--log-to", "tensorboard"])
    assert ran.exit_code == 0, ran.output
    runs = [path.parent for path in (tmp_path / "out").rglob("manifest.json")]
    assert len(runs) == 4
    for run in runs:
        assert_copies(run)


def test_a_training_that_goes_on_takes_the_place_of_what_was_sent_before(tmp_path: Path) -> None:
    epochs = [{"epoch": number, "cross_entropy": 3.0 - number} for number in range(4)]
    with logging_to("tensorboard", tmp_path, TrainConfig()) as log:
        # Killed after the third epoch, with a checkpoint of the second.
        for end in (1, 2, 3):
            log(epochs[:end])
    with logging_to("tensorboard", tmp_path, TrainConfig()) as log:
        log(epochs[:3])
        log(epochs)
    assert curves(tmp_path) == {"train/cross_entropy": [(number, 3.0 - number) for number in range(4)]}


def test_a_log_that_fails_is_noted_and_the_training_goes_on(
    options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(folder: Path, config: TrainConfig) -> None:
        raise OSError("no space left\non the device")

    monkeypatch.setitem(logs.LOGS, "tensorboard", broken)
    ran = CliRunner().invoke(app, ["train", *options, "--log-to", "tensorboard"])
    assert ran.exit_code == 0, ran.output
    (line,) = [line for line in ran.stderr.splitlines() if "--log-to" in line]
    assert line.endswith("training goes on without it (OSError: no space left on the device)")


@pytest.mark.parametrize("command", ["train", "sweep", "study"])
def test_a_missing_package_and_an_unknown_log_are_refused_in_one_line(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    arguments = [command, *(["quick"] if command == "sweep" else []), "--log-to"]
    ran = CliRunner().invoke(app, [*arguments, "wandb"])
    assert (ran.exit_code, ran.stderr) == (2, "error: --log-to wandb needs wandb: pip install 'simset-bench[wandb]'\n")
    ran = CliRunner().invoke(app, [*arguments, "tensorbord"])
    assert ran.exit_code == 2 and "unknown --log-to 'tensorbord' (did you mean 'tensorboard'?)" in ran.stderr


def test_without_a_log_nothing_is_checked_or_written(tmp_path: Path) -> None:
    check_log(None)
    with logging_to(None, tmp_path, TrainConfig()) as log:
        log([{"epoch": 0, "cross_entropy": 1.0}])
    assert not list(tmp_path.iterdir())


def test_weights_and_biases_is_written_to_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    with (
        logging_to("wandb", tmp_path / "one", TrainConfig()) as one,
        logging_to("wandb", tmp_path / "two", TrainConfig()) as two,
    ):
        for log in (one, two):
            log([{"epoch": 0, "cross_entropy": 1.25}])
    written = list(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))
    assert len(written) == 2
    assert all(b"train/cross_entropy" in path.read_bytes() for path in written)


def test_trackio_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    pytest.importorskip("trackio")
    from trackio.sqlite_storage import SQLiteStorage

    monkeypatch.setattr("trackio.sqlite_storage.TRACKIO_DIR", tmp_path)
    with logging_to("trackio", Path("runs/one"), TrainConfig()) as log:
        log([{"epoch": 0, "cross_entropy": 1.25}])
    (record,) = SQLiteStorage.get_logs(logs.PROJECT, "runs/one")
    assert record["train/cross_entropy"] == 1.25 and record["step"] == 0
    assert capsys.readouterr().out == ""


def test_an_unknown_log_is_refused() -> None:
    with pytest.raises(RequestError, match="choose from tensorboard, trackio, wandb"):
        check_log("x")
