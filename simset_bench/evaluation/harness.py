"""Running lm-eval on our rows or on its own tasks, and reading its results."""

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from datasets.exceptions import DatasetNotFoundError

from simset_bench.errors import RequestError
from simset_bench.evaluation.estimates import (
    COMBINED,
    Estimate,
    Groups,
    Scored,
    jackknife,
    mean_with_error,
    perplexity,
    ratio_with_error,
)
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.lm.sampling import SAMPLING_SEED
from simset_bench.evaluation.lm_eval_internals import (
    Instance,
    TaskManager,
    evaluate,
    hash_string,
    load_tasks,
    requests_for_answers,
)
from simset_bench.evaluation.request import is_ours, unknown_task
from simset_bench.evaluation.task_options import GROUPED_BY
from simset_bench.evaluation.tasks.table import OUR_TASKS, tasks_folder
from simset_bench.files import sha256_of_file, sha256_of_texts

# For errors of lm-eval's own tasks that have no formula, such as a perplexity's; lm-eval's default is 100,000.
BOOTSTRAP_DRAWS = 1000


@cache
def foreign_tasks(include_path: str | None = None) -> TaskManager:
    """Every task that lm-eval ships, and those of the YAML files below a folder; reading them takes seconds."""
    return TaskManager(include_path=include_path)


@cache
def tasks_below(include_path: str) -> TaskManager:
    """The tasks of the YAML files below a folder alone. Raises RequestError where there are none."""
    if not Path(include_path).is_dir():
        raise RequestError(f"--include-path {include_path}: there is no such folder")
    manager = TaskManager(include_path=include_path, include_defaults=False)
    if not manager.task_index:
        raise RequestError(f"--include-path {include_path}: no .yaml file below it defines a task of lm-eval")
    return manager


def hash_of_tasks(include_path: str) -> str:
    """SHA-256 of the names and contents of all files below a folder: its tasks, their functions and data."""
    files = sorted(path for path in Path(include_path).rglob("*") if path.is_file() and path.suffix != ".pyc")
    names = [path.relative_to(include_path).as_posix() for path in files]
    return sha256_of_texts([part for pair in zip(names, map(sha256_of_file, files), strict=True) for part in pair])


def check_foreign_tasks(names: Sequence[str], include_path: str | None = None) -> None:
    """Raise RequestError for a name that is neither one of our tasks, nor one below `include_path`, nor lm-eval's."""
    own = tasks_below(include_path).task_index if include_path else {}
    for name in (name for name in names if not is_ours(name) and name not in own):
        if name not in foreign_tasks().task_index:
            raise unknown_task(name, sorted(own), foreign_tasks().task_index)


def run_ours(lm: MemoryLM, name: str, rows_folder: Path) -> Scored:
    """Scores of our task `name`, whose rows lie in `rows_folder`."""
    # lm-eval computes no errors (0 draws): ours are clustered by document.
    parts = list(OUR_TASKS[name].parts)
    return _score(_evaluate(lm, _our_tasks(name, rows_folder), parts, None, 0), parts)


def _our_tasks(name: str, rows_folder: Path) -> TaskManager:
    yaml_files = str(OUR_TASKS[name].folder or tasks_folder())
    return TaskManager(include_path=yaml_files, include_defaults=False, metadata={"rows_folder": str(rows_folder)})


def answers_wanted(name: str, rows_folder: Path, limit: int | None, include_path: str | None = None) -> list[Instance]:
    """The requests for answers of `run_ours` or `run_foreign`, in lm-eval's order, repeated as often as it asks them.

    Raises RequestError where the task's data set is neither on this machine nor within reach.
    """
    if name in OUR_TASKS:
        tasks = load_tasks(_our_tasks(name, rows_folder), list(OUR_TASKS[name].parts), SAMPLING_SEED)
        limit = None
    else:
        with _data_set_in_reach(name):
            tasks = load_tasks(_manager_of(name, include_path), [name], SAMPLING_SEED)
    return requests_for_answers(tasks, limit)


def run_foreign(lm: MemoryLM, name: str, limit: int | None, include_path: str | None = None) -> Scored:
    """Scores of one of lm-eval's own tasks or groups, or of the folder `include_path`, with errors as lm-eval has them.

    A group's members stand beside it as `member.measure`; a measure that several filters give is `measure.filter`.
    Raises RequestError where the task's data set is neither on this machine nor within reach.
    """
    with _data_set_in_reach(name):
        results = _evaluate(lm, _manager_of(name, include_path), [name], limit, BOOTSTRAP_DRAWS)
    estimates, higher_is_better = {}, {}
    for task, measures in results["results"].items():
        size = results["n-samples"].get(task, {}).get("effective") or measures.get("sample_len") or 0
        for key, value in measures.items():
            measure, comma, rest = key.partition(",")
            if not comma or measure.endswith("_stderr") or not isinstance(value, int | float):
                continue
            several = sum(other.partition(",")[0] == measure for other in measures) > 1
            full_name = f"{'' if task == name else f'{task}.'}{measure}{f'.{rest}' if several else ''}"
            given = measures.get(f"{measure}_stderr,{rest}")
            error = float(given) if isinstance(given, int | float) else None
            estimates[full_name] = Estimate(float(value), error, size)
            higher_is_better[full_name] = results["higher_is_better"].get(task, {}).get(measure)
    samples = [_record(sample) for task in results["samples"] for sample in results["samples"][task]]
    return Scored(estimates, samples, higher_is_better)


def _manager_of(name: str, include_path: str | None) -> TaskManager:
    is_own = include_path is not None and name in tasks_below(include_path).task_index
    return tasks_below(include_path) if is_own and include_path else foreign_tasks(include_path)


@contextmanager
def _data_set_in_reach(name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, DatasetNotFoundError) as failure:
        reason = " ".join(str(failure).split())[:200]
        raise RequestError(f"task {name}: its data set cannot be loaded ({reason}); ours work offline") from failure


def _evaluate(
    lm: MemoryLM, manager: TaskManager, names: list[str], limit: int | None, bootstrap_draws: int
) -> dict[str, Any]:
    tasks = load_tasks(manager, names, SAMPLING_SEED)
    with torch.random.fork_rng():
        torch.manual_seed(SAMPLING_SEED)
        return evaluate(lm, tasks, limit, bootstrap_draws)


def _score(results: dict[str, Any], parts: Sequence[str]) -> Scored:
    """Values as lm-eval aggregates them, with errors clustered by document, else by subject."""
    estimates: dict[str, Estimate] = {}
    groups: Groups = {}
    generation: dict[str, dict[str, Any]] = {}
    directions: dict[str, bool | None] = {}
    records = []
    for part in parts:
        samples = results["samples"][part]
        directions |= results["higher_is_better"][part]
        for key, value in results["results"][part].items():
            measure, comma, _ = key.partition(",")
            if comma and not measure.endswith("_stderr"):
                estimates[measure] = dataclasses.replace(_estimate(measure, samples), value=float(value))
        for name in GROUPED_BY:
            _add_groups(groups, name, samples)
        config = results["configs"][part]
        if config["output_type"] == "generate_until":
            generation[part] = config["generation_kwargs"] | {"samples": config["repeats"], "seed": SAMPLING_SEED}
        records += [_record(sample) for sample in samples]
    known = {name: better for name, better in directions.items() if name in estimates}
    return Scored(estimates, records, known, groups, generation)


def _add_groups(groups: Groups, name: str, samples: Sequence[dict[str, Any]]) -> None:
    """The estimates of each measure over the samples that have each value of the row field `name`."""
    values = dict.fromkeys(str(sample["doc"][name]) for sample in samples if sample["doc"].get(name) is not None)
    for value in values:
        members = [sample for sample in samples if str(sample["doc"].get(name)) == value]
        measures = dict.fromkeys(measure for sample in members for measure in sample["metrics"])
        estimates = {measure: _estimate(measure, members) for measure in measures}
        groups.setdefault(name, {}).setdefault(value, {}).update(estimates)


def _estimate(measure: str, samples: Sequence[dict[str, Any]]) -> Estimate:
    measured = [sample for sample in samples if measure in sample["metrics"]]
    clusters = [_cluster(sample) for sample in measured]
    values = [sample[measure] for sample in measured]
    combine = COMBINED.get(measure.removesuffix("_memorised"))
    if combine is not None:
        return jackknife(combine, values, clusters)
    if not isinstance(values[0], tuple | list):
        return mean_with_error(values, clusters)
    nll = ratio_with_error([nll for nll, _ in values], [tokens for _, tokens in values], clusters)
    if measure != "perplexity":
        return nll
    # The derivative of exp is exp: a perplexity's error is the NLL's times the perplexity.
    value, error = perplexity(nll.value), nll.standard_error
    return Estimate(value, None if error is None else error * value, nll.n)


def _cluster(sample: dict[str, Any]) -> str:
    """What dependent samples share: their document, else their subject; a sample without either is a cluster alone."""
    doc = sample["doc"]
    named = (doc.get("document") or doc.get("subject")) if isinstance(doc, dict) else None
    return str(named or sample["doc_id"])


def _record(sample: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a sample: enough to pair runs by it, and to see what was asked and answered.

    A text's NLL and token count become the NLL a token, a measure, with the count beside it.
    """
    doc = sample["doc"] if isinstance(sample["doc"], dict) else {}
    measures, tokens = {}, {}
    for name in sample["metrics"]:
        value = sample[name]
        if name == "nll" and isinstance(value, tuple | list):
            tokens = {"tokens": value[1]}
            value = value[0] / value[1]
        if isinstance(value, int | float):
            measures[name] = float(value)
    return {
        "document": doc.get("document"),
        "sample": str(doc.get("sample", sample["doc_id"])),
        "cluster": _cluster(sample),
        **{name: doc[name] for name in GROUPED_BY if doc.get(name) is not None},
        **({"routed": doc["routed"]} if "routed" in doc else {}),
        "measures": measures,
        **tokens,
        "arguments": [list(argument[:1]) + [str(rest) for rest in argument[1:]] for argument in sample["arguments"]],
        "responses": sample["filtered_resps"],
        "doc_hash": sample["doc_hash"],
        # The hash of the prompt without a document before it, so that runs with and without one can be paired.
        "prompt_hash": hash_string(doc["bare_prompt"]) if "bare_prompt" in doc else sample["prompt_hash"],
        "target_hash": sample["target_hash"],
    }
