"""Scores over seeds and documents, and differences, against SciPy."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from simset_bench.results.scores import Score, difference, mean_over_seeds

Write = Callable[..., str]
errors = st.floats(0.01, 10)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a samples file of one value a document (several where a value is a list) and return its path."""

    def written(values: list[float | list[float]], tokens: list[int] | None = None, prompt: str = "p") -> str:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.jsonl"
        lines = []
        for document, found in enumerate(values):
            for number, value in enumerate(found if isinstance(found, list) else [found]):
                record = {"cluster": f"d{document}", "measures": {"nll": value}, "target_hash": ""}
                record |= {"prompt_hash": f"{prompt}{number}"} | ({"tokens": tokens[document]} if tokens else {})
                lines.append(json.dumps(record))
        path.write_text("".join(f"{line}\n" for line in lines))
        return str(path)

    return written


def score(values: list[float], file: str) -> Score:
    return mean_over_seeds([float(np.mean(values))], [float(stats.sem(values))], [file])


FIRST, SECOND = [0.5, 0.9, 0.1, 0.4, 0.7], [0.6, 1.3, 0.2, 0.3, 0.9]


def test_one_seed_on_the_same_documents_is_scipys_paired_t(write: Write) -> None:
    found = difference(score(FIRST, write(FIRST)), score(SECOND, write(SECOND)), "nll")
    interval = stats.ttest_rel(FIRST, SECOND).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.value == pytest.approx(np.mean(FIRST) - np.mean(SECOND))
    assert found.documents == 5
    assert found.told_apart == (stats.ttest_rel(FIRST, SECOND).pvalue < 0.05)


def test_pairing_tells_apart_what_unpaired_errors_cannot(write: Write) -> None:
    second = [value + 0.05 + 0.001 * number for number, value in enumerate(FIRST)]
    paired = difference(score(FIRST, write(FIRST)), score(second, write(second)), "nll")
    unpaired = difference(score(FIRST, write(FIRST)), score(second, write(second, prompt="q")), "nll")
    assert paired.told_apart and not unpaired.told_apart


@given(errors, errors, st.floats(-5, 5))
def test_other_documents_leave_a_normal_interval_of_both_errors(one: float, other: float, apart: float) -> None:
    found = difference(Score(apart, one, None, 1, ()), Score(0.0, other, None, 1, ()), "nll")
    interval = stats.norm.interval(0.95, apart, math.hypot(one, other))
    assert (found.low, found.high) == pytest.approx(interval)
    assert found.documents is None


def test_seeds_alone_are_scipys_welch() -> None:
    one, other = [0.5, 0.6, 0.9], [1.1, 0.8, 1.5, 1.2]
    scores = [mean_over_seeds(values, [None] * len(values), [""] * len(values)) for values in (one, other)]
    found = difference(*scores, "nll")
    interval = stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_documents_and_seeds_both_widen_the_interval(write: Write) -> None:
    """Two seeds that agree on every document but lie apart are no more certain than they lie apart."""
    files = [write([value + shift for value in FIRST]) for shift in (0.0, 1.0)]
    values = [float(np.mean(FIRST)) + shift for shift in (0.0, 1.0)]
    spread = mean_over_seeds(values, [0.1, 0.1], files)
    other = score(SECOND, write(SECOND))
    found = difference(spread, other, "nll")
    assert found.low is not None and found.high is not None
    alone = stats.ttest_rel(np.add(FIRST, 0.5), SECOND).confidence_interval(0.95)
    assert found.high - found.low > 5 * (alone.high - alone.low)
    # Welch's and Satterthwaite's formula by hand: 4 degrees over documents, 1 over seeds.
    documents = np.var(np.add(FIRST, 0.5) - np.array(SECOND), ddof=1) / 5
    seeds = np.var(values, ddof=1) / 2
    freedom = (documents + seeds) ** 2 / (documents**2 / 4 + seeds**2)
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, freedom) * math.sqrt(documents + seeds))


def test_an_nll_weighs_documents_by_their_tokens(write: Write) -> None:
    """The interval lies around the score's own difference, a ratio of sums, and its error agrees with resampling."""
    generator = np.random.default_rng(0)
    tokens = generator.integers(20, 200, 40).tolist()
    first, second = generator.gamma(9, 0.1, (2, 40))
    second = 0.7 * first + 0.3 * second
    one, other = (
        mean_over_seeds([np.average(x, weights=tokens)], [0.1], [write(x.tolist(), tokens)]) for x in (first, second)
    )
    found = difference(one, other, "nll")
    draws = generator.integers(0, 40, (4000, 40))
    weights = np.array(tokens)[draws]
    resampled = ((first - second)[draws] * weights).sum(1) / weights.sum(1)
    assert found.high is not None
    assert found.value == pytest.approx(np.average(first - second, weights=tokens))
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, 39) * resampled.std(), rel=0.1)


def test_several_samples_of_a_document_are_one_piece_of_evidence(write: Write) -> None:
    once = difference(score(FIRST, write(FIRST)), score(SECOND, write(SECOND)), "nll")
    thrice = [write([[value] * 3 for value in values]) for values in (FIRST, SECOND)]
    again = difference(score(FIRST, thrice[0]), score(SECOND, thrice[1]), "nll")
    assert (again.low, again.high) == pytest.approx((once.low, once.high))


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_a_constant_difference_is_told_apart_unless_it_is_0(write: Write, shift: float) -> None:
    second = [value + shift for value in FIRST]
    found = difference(score(FIRST, write(FIRST)), score(second, write(second)), "nll")
    assert found.low == pytest.approx(-shift) and found.high == pytest.approx(-shift)
    assert found.told_apart == bool(shift)


def test_documents_of_one_name_and_another_text_are_not_paired(write: Write) -> None:
    found = difference(score(FIRST, write(FIRST)), score(SECOND, write(SECOND, prompt="other")), "nll")
    assert found.documents is None


@pytest.mark.parametrize("harm", ["missing", "cut", "no measures"])
def test_a_harmed_samples_file_is_said_and_not_paired(
    write: Write, harm: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = Path(write(FIRST))
    one, other = score(FIRST, str(file)), score(SECOND, write(SECOND))
    if harm == "missing":
        file.unlink()
    else:
        file.write_text('{"cluster": "d0", "mea' if harm == "cut" else '{"cluster": "d0"}\n')
    found = difference(one, other, "nll")
    assert found.documents is None and found.low is not None
    assert f"{file}: missing or damaged" in capsys.readouterr().err


def test_without_any_error_nothing_is_claimed() -> None:
    found = difference(Score(1.0, None, None, 1, ()), Score(2.0, 0.1, None, 1, ()), "nll")
    assert (found.value, found.low, found.high, found.told_apart) == (-1.0, None, None, False)


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=6), errors)
def test_a_mean_over_seeds_has_the_errors_of_seeds_and_documents(values: list[float], error: float) -> None:
    found = mean_over_seeds(values, [error] * len(values), ["f"] * len(values))
    assert found.value == pytest.approx(np.mean(values))
    assert found.spread == pytest.approx(np.std(values, ddof=1))
    assert found.seed_error == pytest.approx(stats.sem(values))
    # More seeds of the same documents make the error over documents no smaller.
    assert found.document_error == pytest.approx(error)
    assert found.standard_error == pytest.approx(math.hypot(error, stats.sem(values)))
    assert found.seeds == len(values)


def test_a_single_seed_has_its_own_error_and_no_spread() -> None:
    found = mean_over_seeds([2.0], [0.3], ["f"])
    assert (found.standard_error, found.spread, found.seed_error) == (0.3, None, None)
    assert mean_over_seeds([2.0], [None], ["f"]).standard_error is None
