"""What a world model has to show: each figure that is missed fails its check, and no other."""

from collections.abc import Sequence

import numpy as np
import pytest

from simset_bench.corpora.documents import ClosedFact
from simset_bench.corpora.people.tables import read_tables
from simset_bench.models.presets import WORLD_SIZES
from simset_bench.training.closed_facts import FORMS, Recall
from simset_bench.training.world import checks as checks_module
from simset_bench.training.world.card import model_card
from simset_bench.training.world.checks import Check, checks
from simset_bench.training.world.recipe import Recipe

RECIPE = Recipe(WORLD_SIZES["tiny"], people=8, times=5, leads=0, batch=4, learning_rate=1e-3)
KNOWN = 8 * 6


def checks_of(patch: pytest.MonkeyPatch, known: tuple[float, float], strange: tuple[float, float]) -> list[Check]:
    """The checks of a model that recalls with these bits and this accuracy; none that is trained has them exactly."""

    def recall(_model: object, _tokenizer: object, facts: Sequence[ClosedFact], _form: str) -> Recall:
        bits, accuracy = known if len(facts) == KNOWN else strange
        right = np.arange(len(facts)) < round(accuracy * len(facts))
        return Recall(np.full(len(facts), bits), right, right)

    patch.setattr(checks_module, "recall", recall)
    return checks(None, None, read_tables("en"), "en", RECIPE, 0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("known", "strange", "missed"),
    [
        ((4.9, 1.0), (0.0, 1 / 32), set()),
        ((4.7, 1.0), (0.0, 1 / 32), {"known"}),
        ((4.9, 1.0), (0.2, 1 / 32), {"strange"}),
        ((4.9, 1.0), (-0.4, 1 / 32), {"strange"}),
        # 1,200 facts: three standard errors of 1/32 are 0.015.
        ((4.9, 1.0), (0.0, 1 / 32 + 0.013), set()),
        ((4.9, 1.0), (0.0, 1 / 32 + 0.018), {"strange"}),
        ((4.9, 1.0), (0.0, 1 / 32 - 0.018), {"strange"}),
    ],
)
def test_a_figure_that_is_missed_fails_its_check(
    monkeypatch: pytest.MonkeyPatch, known: tuple[float, float], strange: tuple[float, float], missed: set[str]
) -> None:
    made = checks_of(monkeypatch, known, strange)
    assert [(check.people, check.form) for check in made] == [(w, form) for w in ("known", "strange") for form in FORMS]
    assert {check.people for check in made if not check.passed} == missed
    assert {(check.people, check.facts) for check in made} == {("known", KNOWN), ("strange", 1200)}


def test_the_card_shows_every_check_and_how_many_people_were_read(monkeypatch: pytest.MonkeyPatch) -> None:
    made = checks_of(monkeypatch, (4.9, 1.0), (0.0, 1 / 32))
    card = model_card("gpt_neox", "tiny", RECIPE, 0, 7, "ko", made)
    assert card.startswith("---\n") and "\nlanguage: ko\n" in card
    rows = [line for line in card.splitlines() if line.startswith(("| known", "| strange"))]
    assert len(rows) == 6 and rows[0] == f"| known | stated | {KNOWN} | 4.90 | 1.000 | 1.000 |"
    # Half as many people as are seen often are seen once, anew each of the five times.
    assert "8 invented people 5 times each" in card and "\n20 more people once" in card and "Seed 7." in card
