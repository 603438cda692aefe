"""Scores from files: means over seeds, and evidence read from samples."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from simset_bench.results.differences import Difference, difference_of
from simset_bench.results.pair_tests import compare_all
from simset_bench.results.scores import Score, score_of, with_evidence

Write = Callable[..., str]
errors = st.floats(0.01, 10)
FIRST, SECOND = [0.5, 0.9, 0.1, 0.4, 0.7, 0.3], [0.6, 1.3, 0.2, 0.3, 0.9, 0.4]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a samples file of one record a document (several where its values are a list) and return its path.

    `values` are of `nll`, or by measure; `more` are the fields of each document's records beside them.
    """

    def written(
        values: list[float | list[float]] | dict[str, list[float]], prompt: str = "p", **more: list[object]
    ) -> str:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.jsonl"
        by_measure = values if isinstance(values, dict) else {"nll": values}
        lines = []
        for document in range(len(next(iter(by_measure.values())))):
            found = {name: each[document] for name, each in by_measure.items()}
            several = max(len(value) if isinstance(value, list) else 1 for value in found.values())
            for number in range(several):
                measures = {name: value[number] if isinstance(value, list) else value for name, value in found.items()}
                record = {"cluster": f"d{document}", "measures": measures, "target_hash": ""}
                record |= {"prompt_hash": f"{prompt}{number}"} | {name: each[document] for name, each in more.items()}
                lines.append(json.dumps(record))
        path.write_text("".join(f"{line}\n" for line in lines))
        return str(path)

    return written


def score(values: list[float], file: str, measure: str = "nll") -> Score:
    return score_of(measure, [float(np.mean(values))], [float(stats.sem(values))], [file])


def difference(first: Score, second: Score) -> Difference:
    return difference_of(*with_evidence([first, second]))


def test_samples_of_two_files_are_paired_by_document(write: Write) -> None:
    found = difference(score(FIRST, write(FIRST)), score(SECOND, write(SECOND)))
    assert found.documents == 6
    assert found.value == pytest.approx(np.mean(FIRST) - np.mean(SECOND))


def test_several_samples_of_a_document_are_one_piece_of_evidence(write: Write) -> None:
    once = difference(score(FIRST, write(FIRST)), score(SECOND, write(SECOND)))
    thrice = [write([[value] * 3 for value in values]) for values in (FIRST, SECOND)]
    again = difference(score(FIRST, thrice[0]), score(SECOND, thrice[1]))
    assert (again.low, again.high, again.p_value) == pytest.approx((once.low, once.high, once.p_value))


def test_an_nll_weighs_documents_by_their_tokens(write: Write) -> None:
    """The interval lies around the score's own difference, a ratio of sums, and its error agrees with resampling."""
    generator = np.random.default_rng(0)
    tokens = generator.integers(20, 200, 40)
    first, second = generator.gamma(9, 0.1, (2, 40))
    second = 0.7 * first + 0.3 * second
    one, other = (
        score_of("nll", [np.average(x, weights=tokens)], [0.1], [write(x.tolist(), tokens=tokens.tolist())])
        for x in (first, second)
    )
    found = difference(one, other)
    draws = generator.integers(0, 40, (4000, 40))
    weights = tokens[draws]
    resampled = ((first - second)[draws] * weights).sum(1) / weights.sum(1)
    assert found.high is not None
    assert found.value == pytest.approx(np.average(first - second, weights=tokens))
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, 39) * resampled.std(), rel=0.1)


def test_documents_of_one_name_and_another_text_are_not_paired(write: Write) -> None:
    assert difference(score(FIRST, write(FIRST)), score(SECOND, write(SECOND, prompt="other"))).documents is None


def test_a_specificity_is_read_from_the_rises_of_its_samples(write: Write) -> None:
    own, others = [1.0, 3.0, 2.0], [0.1, 0.3, 0.5]
    (found,) = with_evidence(
        [score_of("location/specificity", [6 / 0.9], [0.1], [write({"erasure_own": own, "erasure_others": others})])]
    )
    assert found.evidence is not None and found.evidence.by_seed[0] == pytest.approx(6 / 0.9)


def test_an_area_under_the_curve_is_read_from_the_scores_of_its_samples(write: Write) -> None:
    scores, members = [0.1, 0.5, 0.3, 0.9, 0.4, 0.2], [False, True, False, True, True, False]
    file = write({"loss_score": scores}, is_member=members)
    due = roc_auc_score(members, scores)
    (found,) = with_evidence([score_of("membership/auc_loss", [due], [0.1], [file])])
    assert found.evidence is not None and found.evidence.by_seed[0] == pytest.approx(due)


def test_what_was_forgotten_is_read_from_rises_and_gains_of_its_samples(write: Write) -> None:
    file = write({"forget_rise": [1.0, 3.0]}, gain=[2.0, 4.0], tokens=[10, 30])
    (found,) = with_evidence([score_of("unlearning/forgotten", [100 / 140], [0.1], [file])])
    assert found.evidence is not None and found.evidence.by_seed[0] == pytest.approx((10 + 90) / (20 + 120))


def test_a_harmonic_mean_is_read_from_its_kinds(write: Write) -> None:
    kinds = {f"truth_preference_{kind}": [1.0, value, 0.0] for kind, value in (("rewrite", 1.0), ("paraphrase", 0.0))}
    file = write(kinds | {"truth_preference_neighborhood": [1.0, 1.0, 1.0]})
    (found,) = with_evidence([score_of("counterfact/harmonic_mean", [0.5], [0.1], [file])])
    assert found.evidence is not None and found.evidence.by_seed[0] == pytest.approx(3 / (3 / 2 + 3 + 1))


def test_seeds_with_documents_of_their_own_are_paired_on_all_of_them(write: Write) -> None:
    """The error over documents is that within seeds, and that over seeds the spread of the seeds' differences."""
    rows = []
    for values in ([FIRST, [value + 0.1 for value in SECOND]], [SECOND, [value * 2 for value in FIRST]]):
        files = [write(each, cluster=[f"{seed}-{n}" for n in range(6)]) for seed, each in enumerate(values)]
        means = [float(np.mean(each)) for each in values]
        rows.append((score_of("nll", means, [0.1, 0.1], files, ["0", "1"]), np.array(values)))
    (one, first), (other, second) = rows
    apart = first - second
    found = difference(one, other)
    assert found.documents == 12 and found.value == pytest.approx(apart.mean())
    within = np.square(apart - apart.mean(1, keepdims=True)).sum() / 12**2 * 12 / 11
    over_seeds = apart.mean(1).var(ddof=1) / 2
    tests = compare_all(with_evidence([one, other]))
    assert tests.variances[:, 0, 1].sum() == pytest.approx(within + over_seeds)


def test_seeds_that_were_asked_something_else_have_no_evidence(write: Write) -> None:
    files = [write(FIRST), write(SECOND, prompt="other")]
    (found,) = with_evidence([score_of("nll", [0.5, 0.6], [0.1, 0.1], files)])
    assert found.evidence is None and found.documents == 6


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
    found = difference(one, other)
    assert found.documents is None and found.p_value is not None
    assert f"{file}: missing or damaged" in capsys.readouterr().err


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=6), errors)
def test_a_mean_over_seeds_has_the_errors_of_seeds_and_documents(values: list[float], error: float) -> None:
    found = score_of("nll", values, [error] * len(values), ["f"] * len(values))
    assert found.value == pytest.approx(np.mean(values))
    assert found.spread == pytest.approx(np.std(values, ddof=1))
    assert found.seed_error == pytest.approx(stats.sem(values))
    # More seeds of the same documents make the error over documents no smaller.
    assert found.document_error == pytest.approx(error)
    assert found.standard_error == pytest.approx(math.hypot(error, stats.sem(values)))
    assert found.runs == len(values)


def test_a_single_seed_has_its_own_error_and_no_spread() -> None:
    found = score_of("nll", [2.0], [0.3], ["f"])
    assert (found.standard_error, found.spread, found.seed_error) == (0.3, None, None)
    assert score_of("nll", [2.0], [None], ["f"]).standard_error is None


def test_an_error_that_rounding_made_is_not_known() -> None:
    assert score_of("nll", [2.0], [2e-17], ["f"]).standard_error is None
