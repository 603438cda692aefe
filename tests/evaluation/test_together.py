"""Answers that are written before lm-eval asks for them are the ones that it gets."""

from simset_bench.evaluation.harness import run_ours
from simset_bench.evaluation.lm.answer_calls import KnownAnswers
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.request import EvalRequest
from simset_bench.evaluation.subject import subject_of
from simset_bench.evaluation.tasks.build import build_rows, written_rows
from simset_bench.evaluation.together import Asked, known_answers
from simset_bench.training.open_run import LoadedRun


def test_lm_eval_is_given_every_answer_that_was_written(lm: MemoryLM, loaded: LoadedRun) -> None:
    """Told by a mark on each of them: greedy ones, and five samples to a question."""
    subject, request = subject_of(lm, loaded), EvalRequest(("counterfact", "docmem"), limit=3)
    with written_rows(build_rows(subject, request)) as rows:
        known, again = known_answers([Asked(subject, request, rows)] * 2)
        marked = {key: KnownAnswers(["MARK"] * len(each.answers), 1.0) for key, each in known.items()}
        before = lm.seconds_before
        with lm.knowing(marked), subject.recalling("free"):
            scored = [run_ours(lm, name, rows.folder) for name in request.tasks]
    assert set(again) == set(known) and len(known) == 2
    responses = str([sample["responses"] for each in scored for sample in each.samples])
    assert responses.count("MARK") == sum(len(each.answers) for each in known.values()) > 15
    assert lm.seconds_before == before + 2


def test_a_subject_alone_has_nothing_written_before(lm: MemoryLM, loaded: LoadedRun) -> None:
    subject, request = subject_of(lm, loaded), EvalRequest(("docmem",), limit=2)
    with written_rows(build_rows(subject, request)) as rows:
        assert known_answers([Asked(subject, request, rows)]) == [{}]
