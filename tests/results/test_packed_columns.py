"""Samples as columns: every record comes back, to the last bit, and numbers take the smallest form that allows it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simset_bench.results.packed_columns import (
    DOUBLES,
    FLAGS,
    SINGLES,
    STEPS,
    TEXTS,
    Block,
    Column,
    Columns,
    check_columns,
    columns_of,
    records_of,
    with_short_hashes,
)

# Numbers of every form: flags, multiples of 2 ** -12, float32, float64, and zeros of either sign.
NUMBER = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0]),
    st.integers(-(2**20), 2**20).map(lambda steps: steps / 4096),
    st.floats(-1e6, 1e6, width=32),
    st.floats(-1e100, 1e100),
)
JSON = st.one_of(
    st.none(), st.booleans(), st.integers(-10, 10), st.text(max_size=3), st.lists(st.floats(-1, 1), max_size=2)
)
RECORD = st.fixed_dictionaries(
    {
        "cluster": st.sampled_from(["a", "b", "ü"]),
        "measures": st.dictionaries(st.sampled_from(["bits", "nll", "f1"]), NUMBER, max_size=3),
        "prompt_hash": st.sampled_from(["p", "q"]),
        "target_hash": st.just("t"),
        "sample": st.integers(0, 5).map(str),
    },
    optional={"tokens": st.integers(1, 1000), "responses": JSON, "others": JSON},
)


@given(st.lists(RECORD, min_size=1, max_size=8))
def test_every_record_comes_back_to_the_last_bit(records: list[dict]) -> None:
    columns = columns_of(records)
    check_columns(columns)
    again = records_of(columns)
    assert again == records
    # Equality takes -0.0 for 0.0, and True for 1.
    assert [repr(sorted(each["measures"].items())) for each in again] == [
        repr(sorted(each["measures"].items())) for each in records
    ]


@pytest.mark.parametrize(
    ("text", "due"),
    [
        (f'"{"0123456789abcdef" * 4}"', '"0123456789abcdef"'),
        ('"0123456789abcdef"', '"0123456789abcdef"'),
        ('""', '""'),
        ("null", "null"),
        # What is no JSON is refused where it is read, and not here.
        ("0123456789abcdef" * 4, "0123456789abcdef" * 4),
    ],
)
def test_hashes_keep_16_digits_and_other_texts_stay(text: str, due: str) -> None:
    kept = with_short_hashes(
        Columns(1, {}, {name: Column(Block(TEXTS, (text,))) for name in ("prompt_hash", "sample")})
    )
    assert (kept.fields["prompt_hash"].block.values, kept.fields["sample"].block.values) == ((due,), (text,))


@pytest.mark.parametrize(
    ("numbers", "kind"),
    [
        ([0.0, 1.0, 1.0], FLAGS),
        ([0.0, -0.0, 1.0], SINGLES),
        ([2.0, -3.0, 0.5], STEPS),
        ([4.9990234375, -7.25, 0.0], STEPS),
        ([float(np.float32(0.1)), 1.0, 2.0**40], SINGLES),
        ([0.1, 1.0, 2.0], DOUBLES),
        ([1e100, 1.0, 2.0], DOUBLES),
    ],
)
def test_numbers_take_the_smallest_form(numbers: list[float], kind: str) -> None:
    records = [{"cluster": "a", "measures": {"m": number}} for number in numbers]
    assert columns_of(records).measures["m"].block.kind == kind


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=20), st.floats(1e-3, 1e3))
def test_a_multiple_of_another_measure_is_stored_as_one_number(numbers: list[float], factor: float) -> None:
    records = [{"cluster": "a", "measures": {"bits": x, "bits_a_parameter": x * factor}} for x in numbers]
    columns = columns_of(records)
    assert records_of(columns) == records
    if columns.measures["bits"].block.kind == DOUBLES and columns.measures["bits_a_parameter"].factor is not None:
        assert columns.measures["bits_a_parameter"].block is columns.measures["bits"].block


def test_bits_a_parameter_are_a_multiple_of_bits() -> None:
    bits = np.random.default_rng(0).normal(4, 1, 600)
    records = [{"cluster": "a", "measures": {"bits": x, "per_parameter": x * (600 / 197_312)}} for x in bits.tolist()]
    columns = columns_of(records)
    assert columns.measures["per_parameter"].factor is not None
    assert records_of(columns) == records


def texts(*values: str) -> Column:
    return Column(Block(TEXTS, values))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (Columns(2, {"nll": Column(Block(DOUBLES, np.ones(3)))}, {}), "has 3 values for 2 samples"),
        (Columns(2, {"nll": Column(Block(DOUBLES, np.array([1.0, np.nan])))}, {}), "holds a number that cannot be"),
        (Columns(2, {"nll": Column(Block(DOUBLES, np.array([1.0, 1e300])))}, {}), "holds a number that cannot be"),
        (Columns(2, {"nll": texts("1", "2")}, {}), "measure 'nll' is stored as texts"),
        (Columns(2, {}, {"sample": Column(Block(FLAGS, np.ones(2, bool)))}), "field 'sample' is stored as flags"),
        (
            Columns(2, {"nll": Column(Block(DOUBLES, np.ones(1)), Block(FLAGS, np.array([True])))}, {}),
            "does not say which of 2 samples have it",
        ),
    ],
)
def test_columns_that_are_no_samples_are_refused(columns: Columns, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_columns(columns)
