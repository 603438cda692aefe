"""Which process of torchrun's this one is; test_run_distributed.py trains in two."""

import pytest

from simset_bench.training.processes import ALONE, Processes, launched

TORCHRUN = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}


def test_torchruns_variables_say_which_process_this_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    here = launched()
    assert here == Processes(rank=5, count=8, local_rank=1)
    assert not here.is_first and not here.is_first_here
    assert Processes(4, 8, 0).is_first_here and not Processes(4, 8, 0).is_first


@pytest.mark.parametrize("missing", TORCHRUN)
def test_a_process_is_alone_unless_torchrun_set_every_variable(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """A cluster's own RANK, say, does not make a run wait for others."""
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv(missing)
    assert launched() == ALONE


def test_one_process_alone_is_first_and_decides() -> None:
    assert ALONE.is_first and ALONE.is_first_here
    assert ALONE.all_agree(True) and not ALONE.all_agree(False)
    assert ALONE.first_decides(lambda: "decided") == "decided"
