import hashlib
import os
import subprocess
import sys
from collections import Counter

import pytest
from fixtures.elements import elements_of_mendeleev

from simset_bench.corpora.documents import Document
from simset_bench.corpora.facts.builtin import (
    COUNTRY_RELATIONS,
    ELEMENT_RELATIONS,
    FEWEST_NEIGHBORS,
    MOST_NEIGHBORS,
    Split,
    builtin_facts,
    own_answers,
    split_of,
)
from simset_bench.corpora.facts.builtin_elements import ELEMENTS
from simset_bench.corpora.facts.counterfact import read_facts
from simset_bench.corpora.facts.fact import Fact
from simset_bench.corpora.files.text import read_json

DIGEST = """
import hashlib
from simset_bench.corpora.facts.builtin import builtin_facts
print(hashlib.sha256(repr([builtin_facts(split) for split in ("probe", "train")]).encode()).hexdigest())
"""


@pytest.fixture(scope="module")
def probes() -> list[Fact]:
    return builtin_facts("probe")


@pytest.fixture(scope="module", params=["probe", "train"])
def facts(request: pytest.FixtureRequest) -> list[Fact]:
    return builtin_facts(request.param)


def test_builtin_is_the_probes(probes: list[Fact]) -> None:
    assert read_facts("builtin") == probes


def test_there_are_many_records_of_at_least_six_relations(facts: list[Fact]) -> None:
    records = Counter(fact.relation for fact in facts)
    assert set(records) == {*COUNTRY_RELATIONS, *ELEMENT_RELATIONS}
    assert len(records) >= 6
    assert min(records.values()) >= 10
    assert len(facts) >= 200


def test_the_first_records_are_of_several_relations(facts: list[Fact]) -> None:
    assert len({fact.relation for fact in facts[:20]}) >= 6


def test_every_record_has_paraphrases_neighbors_and_a_question(facts: list[Fact]) -> None:
    for fact in facts:
        name = fact.subject.removeprefix("The ").casefold()
        assert len(set(fact.paraphrase_prompts)) == 2
        assert FEWEST_NEIGHBORS <= len(set(fact.neighborhood_prompts)) <= MOST_NEIGHBORS
        for prompt in (fact.prompt, *fact.paraphrase_prompts):
            assert name in prompt.casefold()
            assert prompt == prompt.strip()
        assert name in fact.question.casefold()
        assert fact.question.endswith("?")
        assert fact.prompt not in fact.paraphrase_prompts


def test_neighborhood_prompts_are_other_subjects_prompts_with_the_same_target(facts: list[Fact]) -> None:
    by_prompt = {fact.prompt: fact for fact in facts}
    for fact in facts:
        for prompt in fact.neighborhood_prompts:
            neighbor = by_prompt[prompt]
            assert neighbor.subject != fact.subject
            assert (neighbor.relation, neighbor.target_true) == (fact.relation, fact.target_true)


def test_the_new_target_is_another_true_target_of_the_relation(facts: list[Fact]) -> None:
    true = {(fact.relation, fact.target_true) for fact in facts}
    for fact in facts:
        assert fact.target_new != fact.target_true
        assert (fact.relation, fact.target_new) in true


def test_no_question_or_prompt_gives_its_answer_away(facts: list[Fact]) -> None:
    for fact in facts:
        # A digit or a letter is in many words, without giving anything away.
        if len(fact.target_true) > 2:
            for text in (fact.subject, fact.prompt, fact.question, *fact.paraphrase_prompts):
                assert fact.target_true.casefold() not in text.casefold()


def test_case_ids_are_unique_over_both_splits() -> None:
    case_ids = [fact.case_id for split in ("probe", "train") for fact in builtin_facts(split)]
    assert len(set(case_ids)) == len(case_ids)


def test_subjects_of_the_splits_are_disjoint_even_in_neighborhood_prompts() -> None:
    probes, train = builtin_facts("probe"), builtin_facts("train")
    assert not {fact.subject for fact in probes} & {fact.subject for fact in train}
    asked = {prompt for fact in probes for prompt in (fact.prompt, *fact.neighborhood_prompts)}
    assert not asked & {prompt for fact in train for prompt in (fact.prompt, *fact.neighborhood_prompts)}


@pytest.mark.parametrize("split", ["probe", "train"])
def test_every_subject_is_in_the_split_that_its_name_says(split: Split) -> None:
    assert {split_of(fact.subject) for fact in builtin_facts(split)} == {split}


def test_every_subject_has_an_article_in_vital(facts: list[Fact], vital: list[Document]) -> None:
    titles = {document.title for document in vital}
    assert {fact.subject for fact in facts} <= titles


def test_the_article_is_about_the_subject_that_is_meant(facts: list[Fact], vital: list[Document]) -> None:
    texts = {document.title: document.text for document in vital}
    for fact in facts:
        about = (
            ("element", "metal", "gas", "halogen")
            if fact.relation in ELEMENT_RELATIONS
            else ("countr", "state", "nation", "kingdom", "republic")
        )
        assert any(word in texts[fact.subject].casefold() for word in about), fact.subject


@pytest.mark.parametrize(
    ("relation", "subject", "answer"),
    [
        ("continent", "Brazil", "South America"),
        ("continent", "Kenya", "Africa"),
        ("subregion", "Vietnam", "Southeast Asia"),
        ("subregion", "Jamaica", "the Caribbean"),
        ("language", "Peru", None),
        ("language", "Brazil", "Portuguese"),
        ("language", "Honduras", "Spanish"),
        ("currency", "Japan", None),
        ("currency", "France", "euro"),
        ("currency", "Canada", "dollar"),
        ("continent", "Russia", None),
        ("continent", "Georgia", None),
        ("family", "Neon", "noble gases"),
        ("family", "Iron", "transition metals"),
        ("period", "Carbon", "2"),
        ("block", "Gold", "d-block"),
        ("discovery", "Gallium", "France"),
        ("century", "Oxygen", "18th century"),
        ("family", "Mercury", None),
    ],
)
def test_answers_are_those_of_a_reference_work_and_doubtful_ones_are_left_out(
    relation: str, subject: str, answer: str | None
) -> None:
    known = {
        (fact.relation, fact.subject): fact.target_true for split in ("probe", "train") for fact in builtin_facts(split)
    }
    assert known.get((relation, subject)) == answer


def test_another_process_makes_the_same_records() -> None:
    here = hashlib.sha256(repr([builtin_facts(split) for split in ("probe", "train")]).encode()).hexdigest()
    environment = os.environ | {"PYTHONHASHSEED": "12345"}
    other = subprocess.run(
        [sys.executable, "-c", DIGEST], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert other.strip() == here


def test_every_answer_of_their_own_is_of_one_subject_that_is_not_probed(probes: list[Fact]) -> None:
    found = own_answers()
    answers = Counter(answer for _, _, answer in found)
    assert len(found) >= 90 and max(answers.values()) == 1
    assert not {subject for subject, _, _ in found} & {fact.subject for fact in probes}
    assert len({question.split(" of ")[0] for _, question, _ in found[:12]}) == 3
    for subject, question, answer in found:
        assert subject.removeprefix("The ").casefold() in question.casefold()
        assert len(answer) < 3 or (answer.casefold() not in subject.casefold() and subject not in answer)


def test_facts_about_elements_are_mendeleevs() -> None:
    assert read_json(ELEMENTS) == elements_of_mendeleev()
