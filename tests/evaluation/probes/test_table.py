"""Every probe of the table, called through the table."""

import pytest

from simset_bench.evaluation.derived import with_derived
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.probes import relearning
from simset_bench.evaluation.probes.table import PROBES
from simset_bench.evaluation.subject import subject_of
from simset_bench.evaluation.task_options import TaskOptions
from simset_bench.training.open_run import LoadedRun


@pytest.mark.parametrize("name", PROBES)
def test_a_probe_measures_and_reads_what_its_record_says(
    people_run: LoadedRun, lm: MemoryLM, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a figure for each measure that depends on the other documents, and the same samples of a bare base."""
    # As many steps as it takes by itself show no more, and take ten seconds.
    monkeypatch.setattr(relearning, "STEPS", (0, 1, 10))
    probe, subject = PROBES[name], subject_of(lm, people_run)
    options = TaskOptions(source=probe.default or "", limit=4)
    scored = with_derived(probe.measure(subject, options))
    assert scored.samples
    assert set(probe.set_by_others) <= set(scored.estimates)
    if probe.reads:
        assert all(isinstance(text, str) for text in probe.reads(subject, options))
    if not probe.needs_memory:
        bare = probe.measure(subject.bare, options)
        assert [record["sample"] for record in bare.samples] == [record["sample"] for record in scored.samples]
