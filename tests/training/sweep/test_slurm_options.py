"""What may be asked of Slurm, and how a wrong request is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simset_bench.errors import RequestError
from simset_bench.training.sweep.slurm_options import KEYS, check_slurm, read_slurm


@pytest.mark.parametrize(
    ("time", "minutes"),
    [
        ("90", 90),
        ("90:01", 91),
        ("4:00:00", 240),
        ("0:10:30", 11),
        ("1-0", 1440),
        ("1-2:30", 1590),
        ("2-00:00:01", 2881),
    ],
)
def test_a_time_is_read_as_sbatch_reads_it(time: str, minutes: int) -> None:
    assert read_slurm(f"time={time}").minutes == minutes


@given(st.integers(0, 30), st.integers(0, 23), st.integers(5, 59), st.integers(0, 59))
def test_a_limit_is_never_shorter_than_what_was_written(days: int, hours: int, minutes: int, seconds: int) -> None:
    limit = read_slurm(f"time={days}-{hours:02}:{minutes:02}:{seconds:02}").minutes * 60
    written = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    assert written <= limit < written + 60


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tasks=8", "--slurm: has no time"),
        ("", "--slurm: unknown key ''"),
        ("time=4:00:00,tsaks=2", "unknown key 'tsaks' (did you mean 'tasks'?)"),
        ("time=4:00:00,partiton=gpu", "unknown key 'partiton' (did you mean 'partition'?)"),
        ("time=4:00:00,tasks", "tasks has no value: write tasks=VALUE"),
        ("time=4:00:00,tasks=", "tasks has no value"),
        ("time=4:00:00,time=90", "time is there twice"),
        ("time=4 hours", "time=4 hours: expected minutes, H:MM:SS or D-HH:MM:SS"),
        ("time=4:00:00,exclusive", "unknown key 'exclusive'"),
        ("time=2", "time=2: at least 5 minutes"),
        ("time=90,tasks=0", "tasks=0: expected a number from 1 to 1000"),
        ("time=90,tasks=2.5", "tasks=2.5: expected a number"),
        ("time=90,cpus=many", "cpus=many: expected a number"),
        ("time=90,gpus=2", "gpus=2: a task trains on one GPU"),
        ("time=90,gpus=a100:4", "gpus=a100:4: a task trains on one GPU"),
        ("time=90,mem=lots", "mem=lots: expected a size such as 32G"),
        ("time=90,mem=٣G", "expected a size such as 32G"),
    ],
)
def test_a_wrong_request_says_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(RequestError) as raised:
        read_slurm(text)
    assert said in str(raised.value)


def test_what_is_not_asked_for_is_left_to_the_cluster() -> None:
    asked = read_slurm("time=90").parameters("x")
    assert "gpus_per_node" not in asked and "mem" not in asked and "srun_args" not in asked
    assert set(asked["additional_parameters"]) == {"requeue"}
    assert {"tasks", "time", "partition"} <= set(KEYS)


def test_where_there_is_no_slurm_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RequestError, match="there is no sbatch here"):
        check_slurm()


def test_without_submitit_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simset_bench.training.sweep.slurm_options.find_spec", lambda name: None)
    with pytest.raises(RequestError, match=r"needs submitit: pip install 'simset-bench\[slurm\]'"):
        check_slurm()
