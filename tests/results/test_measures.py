"""Which way a measure is better."""

import pytest

from simset_bench.results.measures import bare_name, direction


@pytest.mark.parametrize(
    ("measure", "better"),
    [
        ("nll", "lower"),
        ("exact_match", "higher"),
        ("nll_true_rewrite", "lower"),
        ("nll_new_neighborhood_memorised", "higher"),
        ("truth_preference_paraphrase", "higher"),
        ("erasure_own", "higher"),
        ("erasure_others", "lower"),
        ("nll_erased", "higher"),
        ("nll_base", None),
        ("perplexity_base", None),
        ("something", None),
    ],
)
def test_directions(measure: str, better: str | None) -> None:
    assert direction(measure) == better


@pytest.mark.parametrize(
    ("measure", "bare"),
    [
        ("docmem/nll", "nll"),
        ("docmem/nll@oracle", "nll"),
        ("counterfact:my_file/f1+qa", "f1"),
        ("counterfact/nll_true_rewrite@erased+qa", "nll_true_rewrite"),
        ("mmlu/mmlu_law.acc", "mmlu_law.acc"),
    ],
)
def test_a_bare_name_is_what_samples_call_it(measure: str, bare: str) -> None:
    assert bare_name(measure) == bare
