"""Location measures against plain loops over full forwards, in every recall mode."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from fixtures.closeness import LOG_PROBABILITY, near
from fixtures.runs import load_run
from scipy import stats
from torch import Tensor

from simset_bench.errors import RequestError
from simset_bench.evaluation.derived import with_derived
from simset_bench.evaluation.estimates import Scored
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.probes.location import OTHERS, DocumentLocation, attribution_at_1, locate, specificity
from simset_bench.evaluation.probes.records import estimates_of
from simset_bench.evaluation.request import EvalRequest
from simset_bench.evaluation.run import evaluate_runs
from simset_bench.models.loading import Base
from simset_bench.models.memory import attached
from simset_bench.results.samples import read_samples
from simset_bench.training.data.hidden_states import fill_cache
from simset_bench.training.data.segments import segment_documents
from simset_bench.training.open_run import LoadedRun

pytestmark = pytest.mark.numerical

MODES = ("free", "oracle", "erased")
MEASURES = {"on_share", "attribution_at_1", "precision_at_k", "erasure_own", "erasure_others", "specificity"}
MEASURES |= {"erasure_difference", "nll_free", "nll_oracle", "nll_erased", "entry_share", "on_share_lift"}


def located(run: LoadedRun, base: Base, recall: str, count: int = 8) -> list[DocumentLocation]:
    layer = int(run.config.layer)
    segments = segment_documents(run.documents[:count], base.tokenizer, run.config.max_tokens)
    return locate(run, base, segments, fill_cache(base, layer, segments), recall)


def by_loop(run: LoadedRun, base: Base, document: int, multiplier: Tensor) -> tuple[float, np.ndarray]:
    """A document's NLL a token, and each entry's share of its activation, by the whole model with a scaled memory."""
    layer = int(run.config.layer)
    nlls: list[float] = []
    shares: list[np.ndarray] = []
    for segment in segment_documents([run.documents[document]], base.tokenizer, run.config.max_tokens):
        ids = torch.tensor([segment.token_ids])
        with torch.no_grad(), attached(base.model, base.blocks[layer], run.memory) as active:
            with active.recalling(multiplier):
                logs = base.model(ids).logits[0].double().log_softmax(-1)
            assert active.activations is not None
            energy = (active.activations[0] * multiplier).double().square()[segment.specials :]
        nlls += [-logs[n - 1, ids[0, n]].item() for n in range(segment.specials + 1, ids.shape[1])]
        shares += [(token / token.sum() if token.sum() > 0 else token).numpy() for token in energy]
    return float(np.mean(nlls)), np.mean(shares, axis=0)


@pytest.mark.parametrize("recall", MODES)
def test_measures_are_those_of_a_plain_loop(loaded: LoadedRun, lm: MemoryLM, recall: str) -> None:
    masks = torch.from_numpy(loaded.allocation.mask(range(8)))
    used = {"free": torch.ones_like(masks), "oracle": masks, "erased": ~masks}
    for number, place in enumerate(located(loaded, lm.base, recall)):
        nll = {mode: by_loop(loaded, lm.base, number, used[mode][number].float())[0] for mode in MODES}
        assert place.document == loaded.documents[number].id
        assert [place.nll_free, place.nll_oracle, place.nll_erased] == near(list(nll.values()), LOG_PROBABILITY)
        _, shares = by_loop(loaded, lm.base, number, used[recall][number].float())
        assert place.on_share == near(shares[loaded.allocation.entries[number]].sum(), largest=1)
        assert place.attribution_at_1 == attribution_at_1(shares, loaded.allocation.entries, number)
        rises = []
        for other in [number, *((number + step) % 8 for step in range(1, min(OTHERS + 1, 8)))]:
            before = by_loop(loaded, lm.base, other, used[recall][other].float())[0]
            erased = by_loop(loaded, lm.base, other, (used[recall][other] & ~masks[number]).float())[0]
            rises.append(erased - before)
        assert place.erasure_own == near(rises[0], LOG_PROBABILITY)
        assert place.erasure_others == near(np.mean(rises[1:]), LOG_PROBABILITY)


@pytest.mark.parametrize("recall", MODES)
def test_one_evaluation_reports_every_measure_in_every_mode(trained_run: Path, recall: str) -> None:
    (result,) = evaluate_runs([trained_run], EvalRequest(("location",), recall=recall))
    # A run as short as this one may leave the others as they are.
    assert set(result["measures"]) - {"specificity"} == MEASURES - {"specificity"}
    assert result["recall"] == recall
    assert (trained_run / "eval" / f"location.{recall}.json").is_file()
    assert all(error is not None for error in result["standard_errors"].values())


def test_the_modes_bound_the_measures(loaded: LoadedRun, lm: MemoryLM) -> None:
    free, oracle, erased = (located(loaded, lm.base, recall) for recall in MODES)
    for one, known, gone in zip(free, oracle, erased, strict=True):
        assert gone.on_share == 0 < one.on_share < known.on_share <= 1
        assert gone.erasure_own == 0
        # All that is left under oracle is the memory's own: without it the document is read with the bare bias.
        assert known.erasure_own != one.erasure_own


def test_without_shared_entries_erasing_one_leaves_the_others_oracle_recall(
    run_of: Callable[..., Path], lm: MemoryLM
) -> None:
    run = load_run(run_of(allocation="partitioned"))
    for place in located(run, lm.base, "oracle"):
        assert place.erasure_others == near(0, LOG_PROBABILITY)
        assert place.attribution_at_1 == 1


def test_no_structure_shows_no_location(run_of: Callable[..., Path], lm: MemoryLM) -> None:
    """Every document has every entry: all tie for the first place, and erasing one erases all."""
    run = load_run(run_of(allocation="none"))
    found = located(run, lm.base, "free")
    assert [place.attribution_at_1 for place in found] == [pytest.approx(1 / 8)] * 8
    ratio = specificity(found)
    assert ratio is not None and ratio.value == near(1, LOG_PROBABILITY)


def test_documents_of_one_cluster_share_the_first_place(run_of: Callable[..., Path], lm: MemoryLM) -> None:
    run = load_run(run_of(allocation="partitioned", num_clusters=4, location="hard"))
    for number, place in enumerate(located(run, lm.base, "oracle")):
        together = int((run.allocation.clusters == run.allocation.clusters[number]).sum())
        assert place.attribution_at_1 == pytest.approx(1 / together)


def test_attribution_gives_nothing_where_another_document_holds_more() -> None:
    entries = [np.array([0, 1]), np.array([2, 3]), np.array([0, 1])]
    shares = np.array([0.1, 0.1, 0.5, 0.3])
    assert attribution_at_1(shares, entries, 0) == 0
    assert attribution_at_1(shares, entries, 1) == 1
    assert attribution_at_1(shares[::-1].copy(), entries, 0) == 0.5


def place(own: float, others: float | None) -> DocumentLocation:
    return DocumentLocation(f"{own}", 5, 0.5, 1.0, 1.0, 0.1, 1.0, 1.0, 2.0, own, others)


def test_specificity_is_the_ratio_of_the_mean_rises() -> None:
    ratio = specificity([place(1.0, 0.2), place(3.0, 0.2)])
    assert ratio is not None and ratio.value == pytest.approx(10)
    # However small the others' rise is, as long as it is one.
    ratio = specificity([place(1.0, 2e-5), place(3.0, 2e-5)])
    assert ratio is not None and ratio.value == pytest.approx(1e5)


@pytest.mark.parametrize(
    "others", [(0.0, 0.0, 0.0), (-0.04, -0.03, -0.04), (0.02, -0.01, 0.01)], ids=["nothing", "a fall", "chance"]
)
def test_others_that_do_not_rise_measurably_leave_a_difference_and_no_ratio(others: tuple[float, ...]) -> None:
    located = [place(0.07 + number / 1000, other) for number, other in enumerate(others)]
    assert specificity(located) is None
    records = [
        {"measures": {"erasure_own": each.erasure_own, "erasure_others": each.erasure_others}} for each in located
    ]
    records = [each | {"cluster": each["measures"]["erasure_own"]} for each in records]
    difference = with_derived(Scored(estimates_of(records), records)).estimates["erasure_difference"]
    assert difference.value == pytest.approx(0.071 - np.mean(others))
    assert difference.standard_error == pytest.approx(stats.sem([0.07, 0.071, 0.072] - np.array(others)))


def test_a_single_document_has_no_others(run_of: Callable[..., Path], lm: MemoryLM) -> None:
    (result,) = evaluate_runs([run_of()], EvalRequest(("location",), limit=1))
    assert set(result["measures"]) == MEASURES - {"erasure_others", "erasure_difference", "specificity"}
    assert set(result["standard_errors"].values()) == {None}


def test_an_unknown_mode_is_refused(loaded: LoadedRun, lm: MemoryLM) -> None:
    with pytest.raises(RequestError, match="did you mean 'oracle'"):
        located(loaded, lm.base, "oracel")


def test_samples_say_whom_an_erasure_hurts(run_of: Callable[..., Path]) -> None:
    folder = run_of(allocation="simset1", num_docs=12)
    evaluate_runs([folder], EvalRequest(("location", "sharing")))
    allocation = load_run(folder).allocation
    own = {
        name: set(entries.tolist()) for name, entries in zip(allocation.document_ids, allocation.entries, strict=True)
    }
    for task, count in (("location", OTHERS), ("sharing", 6)):
        for record in read_samples(folder / "eval" / f"{task}.free.samples.jsonl"):
            erased, others = own[record["document"]], record["others"]
            assert len({other["document"] for other in others} - {record["document"]}) == count
            for other in others:
                assert other["overlap"] == pytest.approx(len(erased & own[other["document"]]) / len(erased))
            if task == "location":
                mean = np.mean([other["nll_rise"] for other in others])
                assert mean == pytest.approx(record["measures"]["erasure_others"])
