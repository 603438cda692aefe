"""What a wrong argument of a public function says."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simset_bench import RequestError, evaluate, leaderboard, train
from simset_bench.api.checked import PathLike, Paths, checked, paths
from simset_bench.console import stderr


@checked
def example(
    place: PathLike,
    *,
    alpha: float | None = None,
    count: int = 1,
    on: bool = False,
    many: Paths = (),
    name: str | Sequence[str] = "",
) -> Any:
    """Gives back what it was given."""
    return place, alpha, count, on, many, name


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"alfa": 1.0},
            "example: unknown argument 'alfa' (did you mean 'alpha'?): place, alpha, count, on, many, name",
        ),
        ({"alpha": "high"}, "example: alpha must be a number or None, found 'high'"),
        ({"alpha": True}, "example: alpha must be a number or None, found True"),
        ({"count": 1.5}, "example: count must be a whole number, found 1.5"),
        ({"count": None}, "example: count must be a whole number, found None"),
        ({"on": 1}, "example: on must be True or False, found 1"),
        ({"many": ["a", 3]}, "example: many[1] must be a text or a path, found 3"),
        ({"name": b"x"}, "example: name must be a text or a list of these, found b'x'"),
    ],
)
def test_a_wrong_argument_is_named(options: dict[str, object], said: str) -> None:
    with pytest.raises(RequestError) as raised:
        example("here", **options)  # type: ignore[arg-type]
    assert str(raised.value) == said
    assert isinstance(raised.value, ValueError)


def test_a_missing_argument_is_named() -> None:
    with pytest.raises(RequestError, match="example: missing a required argument: 'place'"):
        example()  # type: ignore[call-arg]


def test_numbers_of_numpy_and_whole_numbers_are_taken() -> None:
    place, alpha, count, on, many, name = example(
        Path("x"), alpha=np.float32(0.5), count=np.int64(3), on=np.bool_(True), many=(Path("a"), "b"), name=np.str_("n")
    )
    assert (place, alpha, count, on, name) == (Path("x"), 0.5, 3, True, "n")
    assert (type(alpha), type(count), type(on)) == (float, int, bool)
    assert paths(many) == ["a", "b"]
    assert type(example("x", alpha=2)[1]) is float


def test_quiet_lasts_as_long_as_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    # A command with --quiet that ran in this process leaves it so.
    monkeypatch.setattr(stderr, "quiet", False)

    @checked
    def noisy(*, quiet: bool = False) -> bool:
        return stderr.quiet

    assert [noisy(quiet=True), noisy(), stderr.quiet] == [True, False, False]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: train(alocation="simset2"), "train: unknown argument 'alocation' (did you mean 'allocation'?)"),
        (lambda: train(allocation="simset9"), "unknown allocation 'simset9' (did you mean 'simset1'?)"),
        (lambda: train(model="nowhere"), "unknown model 'nowhere'"),
        (lambda: evaluate("nowhere", task="docmem"), "nowhere: there is no such run folder"),
        (lambda: evaluate("nowhere", task="docmen"), "unknown task 'docmen' (did you mean 'docmem'?)"),
        (lambda: leaderboard("nowhere"), "nowhere: "),
        (lambda: leaderboard("nowhere", retention="plot.pdf"), "--retention plot.pdf: the name must end in"),
    ],
)
def test_a_wrong_request_is_that_of_the_command(
    call: Any, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RequestError) as raised:
        call()
    assert str(raised.value).startswith(said)
    assert not list(tmp_path.iterdir())
