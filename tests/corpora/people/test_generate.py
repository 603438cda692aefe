import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, chisquare

from simset_bench.corpora.documents import Article
from simset_bench.corpora.people.generate import article, filled, people, person
from simset_bench.corpora.people.options import PeopleOptions


def articles(options: PeopleOptions) -> list[Article]:
    return [article(options, one) for one in people(options)]


def test_values_are_uniform_and_independent() -> None:
    drawn = [one.values for one in people(PeopleOptions(count=6_400))]
    for attribute in zip(*drawn, strict=True):
        counts = Counter(attribute)
        # The draws are fixed; a false alarm would come once in 10,000 seeds for each of the 21 tests.
        assert chisquare([counts[value] for value in range(32)]).pvalue > 1e-4
    for one, other in itertools.combinations(zip(*drawn, strict=True), 2):
        # Cut to 8 x 8 cells, so that 100 people are due in each.
        table = Counter(zip((value // 4 for value in one), (value // 4 for value in other), strict=True))
        assert chi2_contingency([[table[a, b] for b in range(8)] for a in range(8)]).pvalue > 1e-4


def test_the_chance_of_the_familys_value_is_the_one_asked_for() -> None:
    share = []
    for one, other in itertools.pairwise(people(PeopleOptions(count=4_000, family=2, values=0.8))):
        if one.family == other.family:
            share += [a == b for a, b in zip(one.values, other.values, strict=True)]
    # Both have the family's value, or they agree by chance.
    due = 0.8**2 + (1 - 0.8**2) / 32
    assert abs(sum(share) / len(share) - due) < 4 * (due * (1 - due) / len(share)) ** 0.5


@settings(max_examples=25, deadline=None)
@given(
    st.builds(
        PeopleOptions,
        count=st.just(12),
        texts=st.integers(1, 3),
        family=st.integers(1, 7),
        wording=st.floats(0, 1),
        values=st.floats(0, 1),
        seed=st.integers(0, 99),
        start=st.integers(0, 1_000_000),
        lang=st.sampled_from(["en", "ko"]),
    )
)
def test_every_text_states_each_fact_once_and_the_prompts_lead_to_it(options: PeopleOptions) -> None:
    everything = articles(options)
    for one in everything:
        facts = one.paragraphs[0].facts
        assert len(one.paragraphs) == options.texts
        assert [fact.attribute for fact in facts] == [each.name for each in options.tables.attributes]
        for fact in facts:
            assert fact.subject == one.title and fact.value in fact.candidates
            assert f"{fact.stated.text} {fact.value}{fact.stated.ending}" in one.paragraphs[0].text
            assert all(fact.subject in prompt.text for prompt in fact.paraphrases)
            assert all(fact.subject in question for question in fact.questions)
        for paragraph in one.paragraphs:
            for attribute, fact in zip(options.tables.attributes, facts, strict=True):
                stated = [w for w in attribute.trained if filled(w, one.title, fact.value) in paragraph.text]
                held_out = [w for w in attribute.held_out if filled(w, one.title, fact.value) in paragraph.text]
                assert len(stated) == 1 and not held_out
    assert len({one.id for one in everything}) == len({one.title for one in everything}) == 12


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 40), st.integers(1, 5), st.integers(0, 5), st.sampled_from([0.0, 0.3, 1.0]))
def test_a_part_has_the_same_bytes_as_the_whole(start: int, family: int, seed: int, chance: float) -> None:
    whole = PeopleOptions(count=45, family=family, seed=seed, wording=chance, values=chance, texts=2)
    part = PeopleOptions(count=5, start=start, family=family, seed=seed, wording=chance, values=chance, texts=2)
    assert articles(part) == articles(whole)[start : start + 5]
    assert article(whole, person(whole, start)) == articles(whole)[start]


def test_from_gives_other_people() -> None:
    first, second = (articles(PeopleOptions(count=50, start=start)) for start in (0, 50))
    assert not {one.title for one in first} & {one.title for one in second}
    assert not {one.id for one in first} & {one.id for one in second}
    assert articles(PeopleOptions(count=50, seed=1)) != first


def test_a_higher_chance_changes_only_what_is_shared() -> None:
    apart, alike = (list(people(PeopleOptions(count=60, values=chance))) for chance in (0.0, 0.5))
    for one, other in zip(apart, alike, strict=True):
        assert (one.name, one.wordings, one.orders) == (other.name, other.wordings, other.orders)
        assert one.values != other.values or one == other
    kept = [
        a == b for one, other in zip(apart, alike, strict=True) for a, b in zip(one.values, other.values, strict=True)
    ]
    assert 0.3 < sum(kept) / len(kept) < 0.7


def test_texts_of_a_person_have_different_wordings_as_long_as_there_are_more() -> None:
    for one in people(PeopleOptions(count=20, texts=8)):
        for wordings in zip(*one.wordings, strict=True):
            assert len(set(wordings)) == 8


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_relatives_share_all_wordings_or_none_but_by_chance(chance: float) -> None:
    one, other = people(PeopleOptions(count=2, family=2, wording=chance, texts=5))
    same = [
        a == b
        for mine, theirs in zip(one.wordings, other.wordings, strict=True)
        for a, b in zip(mine, theirs, strict=True)
    ]
    assert all(same) if chance else sum(same) / len(same) < 0.5
