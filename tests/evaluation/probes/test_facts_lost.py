"""What facts lose when a person is erased, against a loop that scores one candidate after another."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from fixtures.closeness import LOG_PROBABILITY, near
from fixtures.loops import fact_by_loop

from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.probes.facts_lost import facts_lost
from simset_bench.evaluation.subject import subject_of
from simset_bench.simset.shingles import jaccard, word_shingles
from simset_bench.training.open_run import LoadedRun

pytestmark = pytest.mark.numerical


@pytest.mark.parametrize(("recall", "place"), [("free", 1), ("oracle", 4)])
def test_what_facts_lose_is_what_a_plain_loop_gives(
    people_run: LoadedRun, lm: MemoryLM, recall: str, place: int
) -> None:
    layer = int(people_run.config.layer)
    # Half of each person's facts, since the loop scores 32 candidates of each twice.
    documents = [replace(document, facts=document.facts[:3]) for document in people_run.documents]
    masks = torch.from_numpy(people_run.allocation.mask(range(len(documents))))
    here = documents[place]
    values = {fact.attribute: fact.value for fact in here.facts}
    lost: dict[str, list[tuple[float, float]]] = {"erased": [], "shared_values": [], "own_values": [], "strangers": []}
    words = [word_shingles(document.text, 1) for document in documents]
    others = [number for number, document in enumerate(documents) if document.topic != here.topic]
    # Two relatives are compared with as many strangers, and one of three people of the other family is left out.
    left_out = max(others, key=lambda number: jaccard(words[place], words[number]))
    for number, document in enumerate(documents):
        if number == left_out:
            continue
        used = masks[number].float() if recall == "oracle" else torch.ones(masks.shape[1])
        for fact in document.facts:
            before, after = (
                fact_by_loop(lm, layer, people_run.memory, fact, "paraphrase", multiplier)
                for multiplier in (used, used * ~masks[place])
            )
            is_relative = document.topic == here.topic
            of_kin = "shared_values" if fact.value == values[fact.attribute] else "own_values"
            sort = "erased" if number == place else of_kin if is_relative else "strangers"
            lost[sort].append((before[0] - after[0], before[1] - after[1]))
    measured = facts_lost(subject_of(lm, people_run), documents, recall)[place]
    expected = {}
    for sort, drops in lost.items():
        expected[f"bits_lost_{sort}"], expected[f"accuracy_lost_{sort}"] = np.mean(drops, axis=0).tolist()
    assert measured == near(expected, LOG_PROBABILITY)
    assert measured["bits_lost_erased"] != 0
    assert len(measured) == 8, "every sort has facts"


def test_documents_without_facts_lose_none(loaded: LoadedRun, lm: MemoryLM) -> None:
    assert facts_lost(subject_of(lm, loaded), loaded.documents[:2], "free") == [{}, {}]
