"""Running lm-eval on rows or on its own tasks, and reading what it returns."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lm_eval import evaluator
from lm_eval.tasks import TaskManager

from simset_bench.errors import RequestError, did_you_mean
from simset_bench.evaluation.memory_lm import MemoryLM
from simset_bench.evaluation.tasks import LOCATION, OUR_TASKS, tasks_folder
from simset_bench.evaluation.uncertainty import Estimate, mean_with_error, ratio_with_error

# Answers are sampled from this seed in every run, so that runs differ by their memory alone.
SAMPLING_SEED = 0


@dataclass(frozen=True)
class Scored:
    """Estimates by measure, and a record a sample, of one task."""

    estimates: dict[str, Estimate]
    samples: list[dict[str, Any]]


def check_tasks(names: Sequence[str]) -> None:
    """Raise RequestError for a name that is neither one of our tasks nor one of lm-eval's."""
    foreign = [name for name in names if name not in OUR_TASKS and name != LOCATION]
    if not foreign:
        return
    known = set(TaskManager().task_index)
    for name in foreign:
        if name not in known:
            ours = [*OUR_TASKS, LOCATION]
            near = did_you_mean(name, ours) or did_you_mean(name, known)
            raise RequestError(
                f"unknown task {name!r}{near}: ours are {', '.join(ours)}; lm-eval has {len(known)} more"
            )


def run_ours(lm: MemoryLM, names: Sequence[str], rows_folder: Path) -> dict[str, Scored]:
    """Scores of our tasks `names`, whose rows lie in `rows_folder`."""
    manager = TaskManager(
        include_path=str(tasks_folder()), include_defaults=False, metadata={"rows_folder": str(rows_folder)}
    )
    results = _evaluate(lm, manager, [part for name in names for part in OUR_TASKS[name].parts], None)
    return {name: _score(results, list(OUR_TASKS[name].parts)) for name in names}


def run_foreign(lm: MemoryLM, name: str, limit: int | None) -> Scored:
    """Scores of one of lm-eval's own tasks or groups, as lm-eval aggregates them."""
    try:
        results = _evaluate(lm, TaskManager(), [name], limit)
    except OSError as failure:
        reason = " ".join(str(failure).split())[:200]
        raise RequestError(f"task {name}: its data set cannot be had ({reason}); ours work offline") from failure
    estimates = {}
    for task, measures in results["results"].items():
        prefix = "" if task == name else f"{task}."
        for key, value in measures.items():
            measure, comma, rest = key.partition(",")
            if not comma or measure.endswith("_stderr") or not isinstance(value, int | float):
                continue
            error = measures.get(f"{measure}_stderr,{rest}")
            found = float(error) if isinstance(error, int | float) else None
            size = results["n-samples"].get(task, {}).get("effective", 0)
            estimates[f"{prefix}{measure}"] = Estimate(float(value), found, size)
    samples = [_record(sample) for task in results["samples"] for sample in results["samples"][task]]
    return Scored(estimates, samples)


def _evaluate(lm: MemoryLM, manager: TaskManager, names: list[str], limit: int | None) -> dict[str, Any]:
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    tasks = manager.load(names)
    # lm-eval seeds few-shot draws only in simple_evaluate; unseeded, runs would see different prompts.
    for task in tasks["tasks"].values():
        task.set_fewshot_seed(SAMPLING_SEED)
    with torch.random.fork_rng():
        torch.manual_seed(SAMPLING_SEED)
        results = evaluator.evaluate(lm, tasks, limit=limit, bootstrap_iters=0 if limit is None else 100)
    assert results is not None
    return dict(results)


def _score(results: dict[str, Any], parts: Sequence[str]) -> Scored:
    """Values as lm-eval aggregates them, errors clustered by document (by subject where there is none)."""
    estimates: dict[str, Estimate] = {}
    records = []
    for part in parts:
        samples = results["samples"][part]
        for key, value in results["results"][part].items():
            measure, comma, _ = key.partition(",")
            if comma and not measure.endswith("_stderr"):
                estimates[measure] = _estimate(measure, float(value), samples)
        records += [_record(sample) for sample in samples]
    return Scored(estimates, records)


def _estimate(measure: str, value: float, samples: Sequence[dict[str, Any]]) -> Estimate:
    having = [sample for sample in samples if measure in sample["metrics"]]
    clusters = [sample["doc"].get("document") or sample["doc"].get("subject") for sample in having]
    found = [sample[measure] for sample in having]
    if not isinstance(found[0], tuple | list):
        return Estimate(value, mean_with_error(found, clusters).standard_error, len(found))
    pairs = ratio_with_error([nll for nll, _ in found], [tokens for _, tokens in found], clusters)
    error = pairs.standard_error
    # The derivative of exp is exp: a perplexity's error is the NLL's times the perplexity.
    scale = value if measure == "perplexity" else 1.0
    return Estimate(value, None if error is None else error * scale, len(found))


def _record(sample: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a sample: enough to pair runs by and to see what was asked and answered."""
    doc = sample["doc"]
    measures = {name: sample[name] for name in sample["metrics"]}
    per_token = {name: value[0] / value[1] for name, value in measures.items() if isinstance(value, tuple | list)}
    measures = {name: value for name, value in measures.items() if isinstance(value, int | float)} | per_token
    measures.pop("perplexity", None)
    return {
        "document": doc.get("document"),
        "sample": str(doc.get("sample", sample["doc_id"])),
        "measures": measures,
        "arguments": [list(argument[:1]) + [str(rest) for rest in argument[1:]] for argument in sample["arguments"]],
        "responses": sample["filtered_resps"],
        "doc_hash": sample["doc_hash"],
        "prompt_hash": sample["prompt_hash"],
        "target_hash": sample["target_hash"],
    }
