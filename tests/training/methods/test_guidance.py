"""Guidance by document keys."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from fixtures.runs import load_run

from simset_bench.errors import RequestError
from simset_bench.training.config import TrainConfig, make_config
from simset_bench.training.methods.guidance import guidance_term
from simset_bench.training.run import train_run


def test_guidance_makes_texts_likely_under_their_own_key_and_near_tau_under_others(
    run_of_method: Callable[[str], Path],
) -> None:
    final = json.loads((run_of_method("guidance") / "manifest.json").read_text(encoding="utf-8"))["final"]
    assert final["cross_entropy"] < 4.0
    assert abs(final["negative_cross_entropy"] - 7.5) < 1.5


def test_guidance_terms_are_those_of_a_plain_loop() -> None:
    positive, negative = torch.tensor([0.5, 2.0, 3.0]), torch.tensor([4.0, 1.0, 9.0])
    for form, term in {
        "absolute": lambda own, other: abs(2.5 - other),
        "clamped-square": lambda own, other: min((other - 2.5) ** 2, own),
    }.items():
        expected = [term(own, other) for own, other in zip(positive.tolist(), negative.tolist(), strict=True)]
        assert guidance_term(positive, negative, 2.5, form).tolist() == pytest.approx(expected)


def test_entries_under_guidance_are_those_that_a_documents_key_opens_widest(
    run_of_method: Callable[[str], Path],
) -> None:
    run = load_run(run_of_method("guidance"))
    gates = np.abs(run.multipliers(range(4), "oracle"))
    for document, own in enumerate(run.allocation.entries):
        others = np.delete(gates[document], own)
        assert len(own) == 8 and gates[document][own].min() >= others.max()


def test_one_document_has_no_other_to_guide_away_from(
    config_of_method: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    config = config_of_method("guidance", epochs=1)
    with pytest.raises(RequestError, match="--guidance-negative other: there is one document"):
        train_run(make_config(None, **{**vars(config), "num_docs": 1}), tmp_path)
