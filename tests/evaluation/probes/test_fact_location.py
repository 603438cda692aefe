"""Where facts lie, against a loop that scores one candidate after another."""

import numpy as np
import pytest
import torch
from fixtures.closeness import LOG_PROBABILITY, near
from fixtures.loops import fact_by_loop
from hypothesis import given
from hypothesis import strategies as st

from simset_bench.errors import RequestError
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.probes.fact_location import fact_location, other_entries
from simset_bench.evaluation.subject import subject_of
from simset_bench.evaluation.task_options import TaskOptions
from simset_bench.models.memory import attached
from simset_bench.training.open_run import LoadedRun

pytestmark = pytest.mark.numerical


def test_what_facts_lose_without_some_entries_is_what_a_plain_loop_gives(people_run: LoadedRun, lm: MemoryLM) -> None:
    layer, base = int(people_run.config.layer), lm.base
    scored = fact_location(subject_of(lm, people_run), TaskOptions(limit=1))
    own = torch.from_numpy(people_run.allocation.mask([0])[0])
    facts = people_run.documents[0].facts
    assert [record["sample"] for record in scored.samples] == [fact.id for fact in facts]
    for fact, record in zip(facts, scored.samples, strict=True):
        prompt = torch.tensor([base.tokenizer(fact.stated.text).input_ids])
        with torch.no_grad(), attached(base.model, base.blocks[layer], people_run.memory) as active:
            base.model(prompt)
        assert active.activations is not None
        energy = active.activations[0, -1].double().square()
        others = energy.masked_fill(own, -1.0).argsort(descending=True, stable=True)[: int(own.sum())]
        most_active = torch.zeros_like(own).index_fill(0, others, True)
        bits = [
            fact_by_loop(lm, layer, people_run.memory, fact, "stated", (~erased).float())[0]
            for erased in (torch.zeros_like(own), own, most_active)
        ]
        measures = record["measures"]
        assert measures["bits_before"] == near(bits[0], LOG_PROBABILITY)
        assert measures["bits_lost_own_entries"] == near(bits[0] - bits[1], LOG_PROBABILITY)
        assert measures["bits_lost_active_entries"] == near(bits[0] - bits[2], LOG_PROBABILITY)
        assert measures["on_share_last"] == near((energy[own].sum() / energy.sum()).item(), largest=1)
        assert measures["entry_share"] == own.float().mean().item()
    assert len({record["measures"]["bits_lost_random_entries"] for record in scored.samples}) == len(facts)


def test_under_oracle_only_the_documents_own_entries_can_be_lost(people_run: LoadedRun, lm: MemoryLM) -> None:
    estimates = fact_location(subject_of(lm, people_run), TaskOptions("oracle", limit=2)).estimates
    assert estimates["bits_lost_active_entries"].value == estimates["bits_lost_random_entries"].value == 0
    assert estimates["bits_lost_own_entries"].value != 0
    assert estimates["on_share_last"].value in (pytest.approx(1), pytest.approx(0))


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(2, 12), st.floats(0, 0.9))
def test_other_entries_are_as_many_as_a_documents_own_and_none_of_them(
    seed: int, facts: int, entries: int, share: float
) -> None:
    generator = np.random.default_rng(seed)
    own = generator.random((facts, entries)) < share
    own[:, 0] = False
    energies = generator.random((facts, entries))
    chosen = other_entries(energies, own)
    for mask in chosen.values():
        assert not (mask & own).any()
        assert mask.sum(1).tolist() == np.minimum(own.sum(1), (~own).sum(1)).tolist()
    for row in range(facts):
        active, rest = chosen["active"][row], ~own[row] & ~chosen["active"][row]
        assert not active.any() or not rest.any() or energies[row][active].min() >= energies[row][rest].max()
    assert other_entries(energies, np.ones_like(own)) == {}


def test_documents_without_facts_are_refused(loaded: LoadedRun, lm: MemoryLM) -> None:
    with pytest.raises(RequestError, match=r"task fact_location: corpus jsonl:.* has no facts about people"):
        fact_location(subject_of(lm, loaded), TaskOptions())
