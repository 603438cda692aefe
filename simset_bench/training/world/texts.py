"""What a world model reads: people who are in no corpus, in fresh wordings, and ordinary text beside them."""

from collections.abc import Iterator
from itertools import islice

from simset_bench.corpora.documents import ClosedFact
from simset_bench.corpora.people.draws import draws, shuffled
from simset_bench.corpora.people.generate import closed_facts, filled
from simset_bench.corpora.people.names import world_name
from simset_bench.corpora.people.tables import NAME, VALUES, Tables
from simset_bench.corpora.readers.vital import vital_articles, vital_file
from simset_bench.training.qa_finetune import question_prompt
from simset_bench.training.world.recipe import Recipe


def texts_about_people(tables: Tables, recipe: Recipe, seed: int) -> Iterator[str]:
    """Biographies and texts of questions, of people seen often and of people seen once, each text of one person."""
    for time in range(recipe.times):
        for number in range(recipe.people):
            yield biography(tables, seed, number, time)
            yield questions(tables, seed, number, time)
        yield from texts_on_strangers(tables, recipe, seed, time)


def texts_on_strangers(tables: Tables, recipe: Recipe, seed: int, time: int) -> Iterator[str]:
    """The texts of those who are seen once, all of them at one time of `recipe.times`."""
    fresh = recipe.people // 2
    for number in range(recipe.people + time * fresh, recipe.people + (time + 1) * fresh):
        yield biography(tables, seed, number, time)
        yield questions(tables, seed, number, time)


def biography(tables: Tables, seed: int, number: int, time: int) -> str:
    """Every attribute of a person once, each in any of its wordings, trained or held out, in any order."""
    name, values = world_name(tables, seed, number), world_values(tables, seed, number)
    sentences = []
    for place, draw in _drawn_order(tables, "biography", seed, number, time):
        attribute = tables.attributes[place]
        wordings = (*attribute.trained, *attribute.held_out)
        sentences.append(filled(wordings[draw % len(wordings)], name, attribute.values[values[place]]))
    return " ".join(sentences)


def questions(tables: Tables, seed: int, number: int, time: int) -> str:
    """One question and its answer on every attribute of a person, in any order."""
    name, values = world_name(tables, seed, number), world_values(tables, seed, number)
    answered = []
    for place, draw in _drawn_order(tables, "questions", seed, number, time):
        attribute = tables.attributes[place]
        question = attribute.questions[draw % len(attribute.questions)].replace(NAME, name)
        answered.append(f"{question_prompt(question)} {attribute.values[values[place]]}")
    return "\n\n".join(answered)


def world_values(tables: Tables, seed: int, number: int) -> tuple[int, ...]:
    """Numbers in [0, 32) of a person's values, one an attribute."""
    return tuple(draw % VALUES for draw in draws(len(tables.attributes), "world value", seed, number))


def world_facts(tables: Tables, seed: int, number: int) -> tuple[ClosedFact, ...]:
    """What there is to know of a person of a world."""
    stated = [
        draw % len(attribute.trained)
        for draw, attribute in zip(
            draws(len(tables.attributes), "world wording", seed, number), tables.attributes, strict=True
        )
    ]
    values = world_values(tables, seed, number)
    return tuple(closed_facts(tables, f"world-{seed}-{number}", world_name(tables, seed, number), values, stated))


def ordinary_texts(recipe: Recipe) -> list[str]:
    """Leads of `vital`, evenly spread over it; none where its wheel is not installed."""
    if vital_file() is None or not recipe.leads:
        return []
    leads = ["\n\n".join(part.text for part in article.paragraphs) for article in vital_articles("")]
    return list(islice(leads, 0, None, max(1, len(leads) // recipe.leads)))[: recipe.leads]


def _drawn_order(tables: Tables, *key: int | str) -> Iterator[tuple[int, int]]:
    count = len(tables.attributes)
    numbers = draws(count, *key)
    return ((place, numbers[place]) for place in shuffled(count, "order", *key))
