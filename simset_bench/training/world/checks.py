"""What a world model has to show before it is used: it knows whom it saw often, and that it does not know others."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from simset_bench.corpora.documents import ClosedFact
from simset_bench.corpora.people.generate import article, people
from simset_bench.corpora.people.options import PeopleOptions
from simset_bench.corpora.people.tables import Tables
from simset_bench.training.closed_facts import FORMS, recall
from simset_bench.training.world.recipe import Recipe
from simset_bench.training.world.texts import world_facts

PEOPLE_ASKED = 100
LEAST_BITS_KNOWN = 4.8
STRANGE_BITS = (-0.3, 0.1)
# Standard errors by which the accuracy on strangers may miss 1/32: one in 370 models that know nothing fails.
MOST_ERRORS = 3


@dataclass(frozen=True)
class Check:
    """Means over facts about people of one sort (`known`, seen often, or `strange`, of a corpus) in one form."""

    people: str
    form: str
    facts: int
    bits: float
    accuracy: float
    exact_match: float
    passed: bool


def checks(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, tables: Tables, lang: str, recipe: Recipe, seed: int
) -> list[Check]:
    """Every check in every form: `bits` above 4.8 on people seen often; on strangers accuracy 1/32 and no bits."""
    known = [fact for number in range(min(PEOPLE_ASKED, recipe.people)) for fact in world_facts(tables, seed, number)]
    options = PeopleOptions(count=2 * PEOPLE_ASKED, lang=lang)
    strange = [fact for one in people(options) for fact in article(options, one).paragraphs[0].facts]
    return [
        _check(model, tokenizer, sort, facts, form)
        for sort, facts in (("known", known), ("strange", strange))
        for form in FORMS
    ]


def _check(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, sort: str, facts: Sequence[ClosedFact], form: str
) -> Check:
    recalled = recall(model, tokenizer, facts, form)
    bits, accuracy = float(recalled.bits.mean()), float(recalled.right.mean())
    if sort == "known":
        passed = bits > LEAST_BITS_KNOWN
    else:
        chance = 1 / len(facts[0].candidates)
        error = float(np.sqrt(chance * (1 - chance) / len(facts)))
        passed = abs(accuracy - chance) <= MOST_ERRORS * error and STRANGE_BITS[0] < bits < STRANGE_BITS[1]
    return Check(sort, form, len(facts), bits, accuracy, float(recalled.exact.mean()), passed)
