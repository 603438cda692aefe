"""What erasing a document does to others that resemble it."""

from collections.abc import Callable
from pathlib import Path

from fixtures.runs import load_run

from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.probes.sharing import sharing
from simset_bench.evaluation.subject import subject_of
from simset_bench.evaluation.task_options import TaskOptions


def test_similar_documents_pay_for_shared_entries_and_not_for_their_own(
    run_of: Callable[..., Path], lm: MemoryLM
) -> None:
    """The corpus has pairs that differ in one word: simset gives these the same entries, partitions do not."""
    simset, apart = (
        sharing(subject_of(lm, load_run(run_of(allocation=name, num_docs=12, alpha=5.0, epochs=12))), TaskOptions())
        for name in ("simset1", "partitioned")
    )
    assert simset.estimates["overlap_similar"].value > 2 * simset.estimates["overlap_unrelated"].value
    assert simset.estimates["jaccard_similar"].value > simset.estimates["jaccard_unrelated"].value
    assert apart.estimates["overlap_similar"].value == 0
    assert simset.estimates["sharing_cost"].value > max(apart.estimates["sharing_cost"].value, 0)
    for record in simset.samples:
        found = record["measures"]
        assert found["sharing_cost"] == found["erasure_similar"] - found["erasure_unrelated"]
