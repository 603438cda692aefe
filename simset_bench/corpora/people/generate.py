"""Invented people: documents of which every fact is known, after the biographies of arXiv 2309.14316 and 2404.05405."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from simset_bench.corpora.documents import Article, ClosedFact, Paragraph, Prompt, Question
from simset_bench.corpora.people.draws import draws, shuffled
from simset_bench.corpora.people.names import study_name
from simset_bench.corpora.people.options import PeopleOptions
from simset_bench.corpora.people.tables import NAME, VALUE, VALUES, Tables

_ALL = 1 << 32


@dataclass(frozen=True)
class Person:
    """One invented person. `values` are numbers in [0, 32), one an attribute in the order of the tables.

    `wordings` (texts, attributes) are numbers of trained wordings, `orders` the order of the sentences in each text.
    """

    number: int
    family: int
    name: str
    values: tuple[int, ...]
    wordings: tuple[tuple[int, ...], ...]
    orders: tuple[tuple[int, ...], ...]


def people(options: PeopleOptions, start: int = 0, stop: int | None = None) -> Iterator[Person]:
    """The people of a corpus, or those from place `start` to before `stop` of it."""
    for place in range(start, options.count if stop is None else stop):
        yield person(options, options.start + place)


def person(options: PeopleOptions, number: int) -> Person:
    """Person `number` of the generator; depends on the options and the number alone."""
    family = number // options.family
    return Person(
        number,
        family,
        study_name(options.tables, options.seed, number),
        _values(options, number, family),
        tuple(zip(*_wordings(options, number, family), strict=True)),
        tuple(
            tuple(shuffled(len(options.tables.attributes), "order", options.seed, number, text))
            for text in range(options.texts)
        ),
    )


def _values(options: PeopleOptions, number: int, family: int) -> tuple[int, ...]:
    count = len(options.tables.attributes)
    # Neither draw depends on the chance: a corpus with a higher one only shares more.
    chosen = draws(count, "value", options.seed, number)
    if options.values:
        chances = draws(count, "values", options.seed, number)
        shared = draws(count, "family's value", options.seed, options.family, family)
        chosen = tuple(
            theirs if chance < options.values * _ALL else mine
            for mine, theirs, chance in zip(chosen, shared, chances, strict=True)
        )
    return tuple(value % VALUES for value in chosen)


def _wordings(options: PeopleOptions, number: int, family: int) -> Iterator[list[int]]:
    """For each attribute the numbers of its wordings in each text; a person's own differ as long as there are more."""
    for place, attribute in enumerate(options.tables.attributes):
        count = len(attribute.trained)
        mine = shuffled(count, "wording", options.seed, number, place)
        chosen = [mine[text % count] for text in range(options.texts)]
        if options.wording:
            chances = draws(options.texts, "wordings", options.seed, number, place)
            theirs = shuffled(count, "family's wording", options.seed, options.family, family, place)
            for text, chance in enumerate(chances):
                if chance < options.wording * _ALL:
                    chosen[text] = theirs[text % count]
        yield chosen


def article(options: PeopleOptions, one: Person) -> Article:
    """A person's texts, each a paragraph; the first holds the facts, and questions on them. Topic is the family."""
    attributes = options.tables.attributes
    texts = [
        " ".join(
            filled(attributes[place].trained[wordings[place]], one.name, attributes[place].values[one.values[place]])
            for place in order
        )
        for wordings, order in zip(one.wordings, one.orders, strict=True)
    ]
    identity = f"{options.seed}-{one.number}"
    facts = tuple(closed_facts(options.tables, identity, one.name, one.values, one.wordings[0]))
    questions = tuple(Question(fact.id, fact.questions[0], (fact.value,)) for fact in facts)
    return Article(
        f"person-{identity}",
        one.name,
        (Paragraph(texts[0], questions, facts=facts), *map(Paragraph, texts[1:])),
        f"family-{options.seed}-{one.family}",
        f"people, person {one.number}",
    )


def filled(wording: str, name: str, value: str) -> str:
    """A wording as a sentence about one person."""
    return wording.replace(NAME, name).replace(VALUE, value)


def closed_facts(
    tables: Tables, identity: str, name: str, values: Sequence[int], stated: Sequence[int]
) -> Iterator[ClosedFact]:
    """One fact an attribute, about `name`: `values` and trained wordings `stated` are numbers, one an attribute.

    `identity` begins the facts' ids, and is what is drawn by which held-out wording and which question stand first.
    """
    first = draws(2 * len(tables.attributes), "prompts", identity)
    for place, attribute in enumerate(tables.attributes):
        yield ClosedFact(
            f"{identity}-{attribute.name}",
            name,
            attribute.name,
            attribute.values[values[place]],
            attribute.values,
            _prompt(attribute.trained[stated[place]], name),
            tuple(_prompt(wording, name) for wording in _turned(attribute.held_out, first[2 * place])),
            tuple(text.replace(NAME, name) for text in _turned(attribute.questions, first[2 * place + 1])),
        )


def _prompt(wording: str, name: str) -> Prompt:
    """A wording cut before its value."""
    before, _, after = wording.partition(VALUE)
    return Prompt(before.rstrip().replace(NAME, name), after)


def _turned(texts: tuple[str, ...], by: int) -> tuple[str, ...]:
    start = by % len(texts)
    return texts[start:] + texts[:start]
