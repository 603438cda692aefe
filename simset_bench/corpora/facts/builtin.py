"""CounterFact records about countries and chemical elements, so that probing needs no file and no network."""

import hashlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

from simset_bench.corpora.facts.builtin_countries import (
    Answers,
    country_answers,
    country_capitals,
    country_in_sentence,
)
from simset_bench.corpora.facts.builtin_elements import (
    element_answers,
    element_in_sentence,
    element_numbers,
    element_symbols,
)
from simset_bench.corpora.facts.fact import BUILTIN, Fact

Split = Literal["probe", "train"]
FEWEST_NEIGHBORS = 2
MOST_NEIGHBORS = 5
_TRAIN_SHARE = 0.3


@dataclass(frozen=True)
class Relation:
    """Wordings of one relation; `{}` is the subject."""

    rewrite: str
    paraphrases: tuple[str, str]
    question: str


COUNTRY_RELATIONS = {
    "continent": Relation(
        "{} belongs to the continent of",
        ("In lists of countries by continent, {} stands under", "If you travel to {}, you are on the continent of"),
        "Which continent is {} part of?",
    ),
    "subregion": Relation(
        "{} is a country in",
        ("The region of the world where {} lies is", "Geographers count {} among the countries of"),
        "In which region of the world is {}?",
    ),
    "language": Relation(
        "The official language of {} is",
        ("In {}, the official language is", "The government of {} writes its laws in"),
        "What is the official language of {}?",
    ),
    "currency": Relation(
        "The basic unit of money in {} is the",
        ("In {}, the unit of currency is called the", "The monetary unit of {} is the"),
        "What is the unit of currency in {} called?",
    ),
}
ELEMENT_RELATIONS = {
    "family": Relation(
        "{} belongs to the family of elements called the",
        ("In the periodic table, {} is one of the", "Chemists count {} among the"),
        "Which family of elements does {} belong to?",
    ),
    "period": Relation(
        "In the periodic table, {} is in period",
        ("{} is a chemical element of period", "The row of the periodic table that holds {} is period"),
        "Which period of the periodic table is {} in?",
    ),
    "block": Relation(
        "The block of the periodic table that holds {} is the",
        ("{} is an element of the", "By the electrons of its atom, {} belongs to the"),
        "Which block of the periodic table is {} in?",
    ),
    "discovery": Relation(
        "{} was first discovered in",
        ("The country in which {} was discovered is", "The discovery of {} was made in"),
        "In which country was {} discovered?",
    ),
    "century": Relation(
        "{} was discovered in the",
        ("The discovery of {} dates from the", "Scientists first identified {} in the"),
        "In which century was {} discovered?",
    ),
}


def builtin_facts(split: Split) -> list[Fact]:
    """Records about the subjects of one split: probes ask about `probe`, `train` teaches the form of an answer.

    There are nine relations. Each country or element is in one split only, with all its records (about 70% are in
    `probe`), and neighborhood prompts name subjects of the same split; the splits share targets. Every record has two
    paraphrases, 2 to 5 neighborhood prompts, a question, and as new target another true target of its relation.
    Relations in which each subject has a target of its own (capitals, symbols) have no neighborhood by ROME's
    definition and are left out, as are subjects with fewer than two neighbors and those whose names give the answer
    away. The order mixes the relations, so that the first few records are from several; it never changes.
    """
    return list(_facts_of(split))


def own_answers() -> list[tuple[str, str, str]]:
    """Subject, question and answer about the subjects of `train`, in relations where each has an answer of its own.

    They are about capitals of countries, and symbols and atomic numbers of elements: no answer to one question answers
    another. A subject whose name contains its answer, or the other way round, is left out. The order mixes the
    relations and never changes.
    """
    kinds = [
        ("What is the capital of {}?", country_capitals(), country_in_sentence),
        ("What is the chemical symbol of {}?", element_symbols(), element_in_sentence),
        ("What is the atomic number of {}?", element_numbers(), element_in_sentence),
    ]
    questions = [
        (subject, question.format(in_sentence(subject)), answer)
        for question, answers, in_sentence in kinds
        for subject, answer in answers.items()
        if split_of(subject) == "train" and not _one_in_the_other(subject, answer)
    ]
    return sorted(questions, key=lambda each: _hash(each[1]))


def _one_in_the_other(subject: str, answer: str) -> bool:
    # Most names contain their element's symbol, but one or two letters give nothing away.
    one, other = subject.casefold(), answer.casefold()
    return len(answer) > 2 and (one in other or other in one)


def split_of(subject: str) -> Split:
    """The split that a subject belongs to, by a hash of its name."""
    return "train" if int(_hash(subject)[:8], 16) < _TRAIN_SHARE * 16**8 else "probe"


@cache
def _facts_of(split: Split) -> tuple[Fact, ...]:
    facts = [
        *_facts(COUNTRY_RELATIONS, country_answers(), split, country_in_sentence),
        *_facts(ELEMENT_RELATIONS, element_answers(), split, element_in_sentence),
    ]
    return tuple(sorted(facts, key=lambda fact: _hash(fact.case_id)))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _facts(
    relations: dict[str, Relation], answers: Answers, split: Split, in_sentence: Callable[[str], str]
) -> list[Fact]:
    facts = []
    for name, relation in relations.items():
        groups = _groups(answers[name], split)
        for true, subjects in groups.items():
            for subject in subjects:
                case_id = f"{BUILTIN}-{name}-{subject}"
                neighbors = _shuffled([other for other in subjects if other != subject], case_id)[:MOST_NEIGHBORS]
                new = _shuffled([target for target in groups if target != true], case_id)[0]
                facts.append(
                    Fact(
                        case_id,
                        subject,
                        name,
                        _filled(relation.rewrite, in_sentence(subject)),
                        true,
                        new,
                        tuple(_filled(prompt, in_sentence(subject)) for prompt in relation.paraphrases),
                        tuple(_filled(relation.rewrite, in_sentence(other)) for other in neighbors),
                        relation.question.format(in_sentence(subject)),
                        "relation",
                    )
                )
    return facts


def _groups(answers: dict[str, str], split: Split) -> dict[str, list[str]]:
    """Subjects of one split by true target, for targets with enough subjects to give each of them neighbors."""
    groups: dict[str, list[str]] = defaultdict(list)
    for subject, answer in answers.items():
        if split_of(subject) == split and answer.casefold() not in subject.casefold():
            groups[answer].append(subject)
    return {answer: subjects for answer, subjects in groups.items() if len(subjects) > FEWEST_NEIGHBORS}


def _shuffled(items: list[str], seed: str) -> list[str]:
    return sorted(items, key=lambda item: _hash(f"{seed} {item}"))


def _filled(template: str, subject: str) -> str:
    text = template.format(subject)
    return text[0].upper() + text[1:]
