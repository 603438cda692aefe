"""What can be extracted, against what the model generates by itself."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fixtures.runs import load_run
from hypothesis import given
from hypothesis import strategies as st

from simset_bench.corpora.documents import Document
from simset_bench.evaluation.estimates import Scored
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.probes.memorisation import PREFIXES, SUFFIX, extraction_strength, memorisation
from simset_bench.evaluation.subject import Subject, subject_of
from simset_bench.evaluation.task_options import TaskOptions
from simset_bench.models.memory import attached
from simset_bench.training.open_run import LoadedRun


@pytest.fixture(scope="module")
def run(run_of: Callable[..., Path], tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> LoadedRun:
    """A run that has learned four texts of about 190 tokens well enough to repeat them."""
    # Without the copies, which differ in one word.
    texts = [json.loads(line)["text"] for line in tiny_corpus.read_text().splitlines() if "-copy" not in line]
    path = tmp_path_factory.mktemp("long") / "long.jsonl"
    made = [{"id": f"d{number}", "text": " ".join(texts[3 * number : 3 * number + 3])} for number in range(4)]
    path.write_text("".join(json.dumps(document) + "\n" for document in made))
    about = {"corpus": f"jsonl:{path}", "num_docs": 4, "max_tokens": 224}
    return load_run(run_of(**about, epochs=40, allocation="none", entries=512))


@pytest.fixture(scope="module")
def subject(run: LoadedRun, lm: MemoryLM) -> Subject:
    return subject_of(lm, run)


@pytest.fixture(scope="module")
def found(subject: Subject) -> Scored:
    return memorisation(subject, TaskOptions())


@pytest.mark.parametrize("with_memory", [True, False])
def test_what_counts_as_extractable_is_what_the_model_generates(subject: Subject, with_memory: bool) -> None:
    """Greedy, with a budget of 32 tokens and nothing of the answer, by transformers' own generation."""
    asked = subject if with_memory else subject.bare
    samples = memorisation(asked, TaskOptions(limit=2)).samples
    found = {record["sample"]: record["measures"] for record in samples if "+" in record["sample"]}
    seen, expected = [], set()
    for segment in asked.segments(asked.documents[:2]):
        own = list(segment.token_ids[segment.specials :])
        for place in range(PREFIXES[-1], len(own) - SUFFIX + 1, SUFFIX):
            sample = f"{asked.documents[segment.document].id}#{segment.number}+{place}"
            expected.add(sample)
            for prefix in PREFIXES:
                shown = [*segment.token_ids[: segment.specials], *own[place - prefix : place]]
                right = generated(asked, shown) == own[place : place + SUFFIX]
                assert found[sample][f"extractable_{prefix}"] == float(right), (sample, prefix)
                seen.append(right)
    assert set(found) == expected and len(expected) > 3
    assert with_memory in seen, "the memory repeats some suffixes, the base some not, or this tests nothing"


def test_every_prefix_length_is_asked_for_the_same_suffixes(subject: Subject, found: Scored) -> None:
    """As many, of the same documents, and none of a text that is too short for the longest prefix."""
    counts = {found.estimates[f"extractable_{prefix}"].n for prefix in PREFIXES}
    segments = [len(segment.token_ids) - segment.specials for segment in subject.segments(subject.documents)]
    assert counts == {sum(max(0, (tokens - 64) // 32) for tokens in segments)}
    short = replace(subject.bare, documents=[Document("short", "Short", "Skarvik lighthouse was lit in 1858.")])
    assert not [name for name in memorisation(short, TaskOptions()).estimates if name.startswith("extractable")]


def generated(asked: Subject, shown: list[int]) -> list[int]:
    base, ids = asked.lm.base, torch.tensor([shown])
    how = {"max_new_tokens": SUFFIX, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    at_work = asked.memory_at_work("free")
    memory = attached(base.model, base.blocks[at_work.layer], at_work.memory) if at_work else nullcontext()
    with memory, torch.no_grad():
        return base.model.generate(ids, attention_mask=torch.ones_like(ids), **how)[0, len(shown) :].tolist()


def test_segments_are_scored_by_the_published_definitions(subject: Subject, found: Scored) -> None:
    """Exact memorisation and extraction strength by a plain loop over the whole model's argmax."""
    run, base = subject.memory_run, subject.lm.base
    exact, strength = [], []
    for segment in subject.segments(subject.documents):
        ids = torch.tensor([segment.token_ids])
        with attached(base.model, base.blocks[int(run.config.layer)], run.memory), torch.no_grad():
            guesses = base.model(ids).logits[0].argmax(1).tolist()
        first = segment.specials + 1
        right = [guesses[place - 1] == segment.token_ids[place] for place in range(first, len(segment.token_ids))]
        exact.append(sum(right) / len(right))
        strength.append(1 - min(k for k in range(len(right) + 1) if all(right[k:])) / len(right))
    assert found.estimates["exact_memorisation"].value == pytest.approx(np.mean(exact))
    assert found.estimates["extraction_strength"].value == pytest.approx(np.mean(strength))
    positions = found.groups["position"]
    assert list(positions)[:2] == ["0-31", "32-63"]
    tokens = sum(len(segment.token_ids) - segment.specials - 1 for segment in subject.segments(subject.documents))
    weighted = sum(record["measures"]["nll"] * record["tokens"] for record in found.samples if "tokens" in record)
    assert found.estimates["nll"].value == pytest.approx(weighted / tokens)


def test_the_untouched_base_has_memorised_less(subject: Subject, found: Scored) -> None:
    bare = memorisation(subject.bare, TaskOptions())
    for name in ("exact_memorisation", "extraction_strength", "extractable_64"):
        assert bare.estimates[name].value < found.estimates[name].value
    assert [one["sample"] for one in bare.samples] == [other["sample"] for other in found.samples]


def test_oracle_recall_of_all_entries_is_free_recall(subject: Subject, found: Scored) -> None:
    """With no structure every document has every entry, so the modes must agree, and erased must be the bias alone."""
    oracle = memorisation(subject, TaskOptions("oracle"))
    assert oracle.estimates["exact_memorisation"] == found.estimates["exact_memorisation"]
    erased = memorisation(subject, TaskOptions("erased"))
    assert erased.estimates["exact_memorisation"].value < found.estimates["exact_memorisation"].value


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_extraction_strength_is_the_share_after_the_last_wrong_token(right: list[bool]) -> None:
    strength = extraction_strength(np.array(right))
    wrong_suffixes = [k for k in range(len(right) + 1) if all(right[k:])]
    assert strength == pytest.approx(1 - min(wrong_suffixes) / len(right))
    assert 0 <= strength <= np.mean(right) + 1e-12


def test_a_router_reads_the_prefix_of_a_suffix_and_nothing_after_it(subject: Subject) -> None:
    """And the first token of a segment, whose whole text is scored after it."""
    run, lm = subject.memory_run, subject.lm
    records = {record["sample"]: record for record in memorisation(subject, TaskOptions("routed")).samples}
    suffixes = 0
    for segment in subject.segments(subject.documents):
        document, own = subject.documents[segment.document].id, list(segment.token_ids[segment.specials :])
        whole = records[f"{document}#{segment.number}"]
        assert whole["routed"] == run.route(lm.base.tokenizer.decode(own[:1]), "routed")
        for place in range(PREFIXES[-1], len(own) - SUFFIX + 1, SUFFIX):
            measures = records[f"{document}#{segment.number}+{place}"]["measures"]
            for prefix in PREFIXES:
                found = run.route(lm.base.tokenizer.decode(own[place - prefix : place]), "routed")
                assert measures[f"routed_at_1_{prefix}"] == (found == document)
            suffixes += 1
    assert suffixes
