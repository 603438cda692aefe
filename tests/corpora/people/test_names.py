import pytest

from simset_bench.corpora.people.names import num_study_names, num_world_names, study_name, world_name
from simset_bench.corpora.people.tables import read_tables


@pytest.mark.parametrize("language", ["en", "ko"])
def test_no_two_people_of_a_seed_have_one_name(language: str) -> None:
    tables = read_tables(language)
    names = {study_name(tables, 0, number) for number in range(100_000)}
    assert len(names) == 100_000


def test_ten_million_people_of_one_seed_have_names() -> None:
    assert num_study_names(read_tables("en")) > 10_000_000


@pytest.mark.parametrize("language", ["en", "ko"])
def test_no_corpus_of_any_seed_holds_a_name_of_a_world(language: str) -> None:
    tables = read_tables(language)
    assert num_world_names(tables) + num_study_names(tables) == tables.num_names
    worlds = {world_name(tables, seed, number) for seed in (0, 1) for number in range(20_000)}
    studies = {study_name(tables, seed, number) for seed in (0, 1, 2) for number in range(20_000)}
    assert not worlds & studies


def test_people_of_a_world_are_named_from_the_same_syllables() -> None:
    tables = read_tables("en")
    firsts = {world_name(tables, 0, number)[:2] for number in range(2_000)}
    assert firsts == set(tables.names[0][0])
