"""World models are made where they are not here; tests/e2e/test_world_model.py makes one for real."""

import sys
from pathlib import Path

import pytest

from simset_bench.errors import RequestError
from simset_bench.models.presets import PRESETS
from simset_bench.models.pretrained_here import make_world
from simset_bench.models.sources import world_folder

TINY = PRESETS["world-llama-tiny"]


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SIMSET_BENCH_CACHE", str(tmp_path))


def test_a_pretraining_that_fails_is_one_line_and_its_time_is_announced(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RequestError, match="world-llama-tiny: its pretraining failed"):
        make_world(TINY)
    assert "about 2 minutes on two processor cores" in capsys.readouterr().err


def test_a_model_that_is_here_is_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = world_folder(TINY)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    monkeypatch.setattr(sys, "executable", "/bin/false")
    make_world(TINY)
