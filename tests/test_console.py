"""What a terminal and a log are told while something is under way."""

import pytest

from simset_bench import console


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (45, "45 s"),
        (119, "119 s"),
        (120, "2.0 min"),
        (7200, "2.0 h"),
        (12240, "3.4 h"),
        (172800, "2.0 days"),
    ],
)
def test_a_duration_is_in_the_unit_of_which_there_are_two(seconds: float, text: str) -> None:
    assert console.duration(seconds) == text


def test_a_log_has_a_line_on_how_far_it_is(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(console, "SECONDS_BETWEEN_LINES", 0.0)
    assert list(console.track(range(3), "training")) == [0, 1, 2]
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert [line.split(",")[0] for line in lines] == ["training: 1 of 3", "training: 2 of 3"], "none once all is done"
    assert "left" in lines[1]


def test_short_bars_in_a_row_share_one_minute(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "_last_line", float("-inf"))
    for name in ("first", "second", "third"):
        list(console.track(range(3), name))
    assert capsys.readouterr().err.splitlines() == ["first: 1 of 3"]


def test_a_quiet_log_has_none(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(console, "SECONDS_BETWEEN_LINES", 0.0)
    console.be_quiet()
    try:
        list(console.track(range(3), "training"))
    finally:
        console.be_quiet(False)
    assert capsys.readouterr() == ("", "")
