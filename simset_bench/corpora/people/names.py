"""Names of invented people, each of one person only; a sixteenth of all are kept for pretraining world models."""

import functools
import math

from simset_bench.corpora.people.draws import permuted
from simset_bench.corpora.people.tables import Tables

_KEPT_SHARE = 16
_GOLDEN = (math.sqrt(5) - 1) / 2


def num_world_names(tables: Tables) -> int:
    """How many names are kept for people of world models, whom no corpus holds."""
    return tables.num_names // _KEPT_SHARE


def num_study_names(tables: Tables) -> int:
    """How many people a corpus can hold at most."""
    return tables.num_names - num_world_names(tables)


def study_name(tables: Tables, seed: int, number: int) -> str:
    """The name of person `number` of a corpus, below `num_study_names`; another for every number of one seed."""
    return _spelt(tables, num_world_names(tables) + permuted(number, num_study_names(tables), seed))


def world_name(tables: Tables, seed: int, number: int) -> str:
    """The name of person `number` of a world, below `num_world_names`; no corpus of any seed has it."""
    return _spelt(tables, permuted(number, num_world_names(tables), seed))


@functools.lru_cache
def _step(num_names: int) -> int:
    step = int(num_names * _GOLDEN)
    while math.gcd(step, num_names) != 1:
        step += 1
    return step


def _spelt(tables: Tables, rank: int) -> str:
    """The name of a rank, one to one; ranks near each other have unlike names."""
    # Ranks below any bound spread evenly over all names, so both sorts of people are named from all syllables.
    place = rank * _step(tables.num_names) % tables.num_names
    words = []
    for word in tables.names:
        syllables = []
        for choices in word:
            place, digit = divmod(place, len(choices))
            syllables.append(choices[digit])
        words.append("".join(syllables))
    return " ".join(words)
