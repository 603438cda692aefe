"""Token accuracy with the answer given."""

import numpy as np
import pytest
import torch

from simset_bench.corpora.facts.counterfact import read_facts
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.probes.teacher_forcing import teacher_forcing
from simset_bench.evaluation.subject import subject_of
from simset_bench.evaluation.task_options import TaskOptions
from simset_bench.training.open_run import LoadedRun


def test_teacher_forced_accuracy_is_the_share_of_tokens_and_stands_under_its_name(
    loaded: LoadedRun, lm: MemoryLM
) -> None:
    found = teacher_forcing(subject_of(lm, loaded).bare, TaskOptions(source="builtin", limit=3))
    shares: dict[str, list[float]] = {}
    for fact in read_facts("builtin")[:3]:
        asked = {"rewrite": (fact.prompt,), "paraphrase": fact.paraphrase_prompts}
        asked |= {"neighborhood": fact.neighborhood_prompts, "question": (f"Question: {fact.question}\nAnswer:",)}
        for kind, prompts in asked.items():
            for prompt in prompts:
                before = lm.base.tokenizer(prompt).input_ids
                ids = lm.base.tokenizer(f"{prompt} {fact.target_true}").input_ids
                with torch.no_grad():
                    guesses = lm.base.model(torch.tensor([ids])).logits[0].argmax(1).tolist()
                right = [guesses[n - 1] == ids[n] for n in range(len(before), len(ids))]
                shares.setdefault(kind, []).append(sum(right) / len(right))
    assert {name: found.estimates[f"teacher_forced_accuracy_{name}"].value for name in shares} == pytest.approx(
        {name: np.mean(values) for name, values in shares.items()}
    )
