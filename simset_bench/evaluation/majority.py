"""The floor of scores after question-answer fine-tuning: what its pairs alone would have answered."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from simset_bench.evaluation.estimates import Estimate, Scored, mean_with_error
from simset_bench.evaluation.measures import FLOORS
from simset_bench.evaluation.tasks.answer_scores import exact_match, token_f1
from simset_bench.evaluation.tasks.rows import Row
from simset_bench.training.qa_finetune import QuestionPair, asked_question, majority_answers, wording


def with_majority_answer(scored: Scored, rows: Sequence[Row], pairs: Sequence[QuestionPair]) -> Scored:
    """Adds `FLOORS` to each sample that answers a question, and their estimates, by group too.

    They are the exact match and the F1 (SQuAD's) of the answer that most of the fine-tuning's `pairs` of the same
    wording have, and 0 where no pair has the wording: what a model scores that learned the pairs and nothing else. They
    have the suffixes of the sample's own `exact_match` (`_memorised`, `_rephrase`); a question that is answered twice,
    greedily and by sampling, counts once. `rows` are those that the task asked.
    """
    majority = majority_answers(pairs)
    floors = {row["sample"]: _floors(row, majority) for row in rows if _question(row) is not None}
    samples = []
    for sample in scored.samples:
        suffixes = _suffixes(sample["measures"]) if sample["sample"] in floors else []
        # The sample of the greedy answer comes first.
        own = floors.pop(sample["sample"]) if suffixes else {}
        added = {f"{name}{suffix}": value for suffix in suffixes for name, value in own.items()}
        samples.append(sample | {"measures": sample["measures"] | added})
    groups = {
        name: {
            value: part | _estimates([sample for sample in samples if str(sample.get(name)) == value])
            for value, part in parts.items()
        }
        for name, parts in scored.groups.items()
    }
    estimates = _estimates(samples)
    directions: dict[str, bool | None] = scored.higher_is_better | dict.fromkeys(estimates)
    return replace(
        scored, samples=samples, estimates=scored.estimates | estimates, higher_is_better=directions, groups=groups
    )


def _estimates(samples: Sequence[dict[str, Any]]) -> dict[str, Estimate]:
    names = dict.fromkeys(name for sample in samples for name in sample["measures"] if name.startswith(FLOORS))
    estimates = {}
    for name in names:
        measured = [sample for sample in samples if name in sample["measures"]]
        values = [sample["measures"][name] for sample in measured]
        estimates[name] = mean_with_error(values, [sample["cluster"] for sample in measured])
    return estimates


def _question(row: Row) -> str | None:
    return asked_question(row["prompt"]) if "answers" in row else None


def _floors(row: Row, majority: dict[str, str]) -> dict[str, float]:
    answer = majority.get(wording(_question(row) or "", row.get("subject") or ""))
    scores = [0.0 if answer is None else score(answer, row["answers"]) for score in (exact_match, token_f1)]
    return dict(zip(FLOORS, scores, strict=True))


def _suffixes(measures: dict[str, float]) -> list[str]:
    """The suffixes of the exact match among a sample's measures, the empty one included."""
    for name in ("exact_match_sampled", "exact_match"):
        suffixes = [measure.removeprefix(name) for measure in measures if measure.startswith(name)]
        if suffixes:
            return [suffix for suffix in suffixes if not suffix.endswith(("_base", "_gain"))]
    return []
