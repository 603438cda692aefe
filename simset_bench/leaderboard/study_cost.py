"""What asking the runs of a study takes, measured on a small run of each of its models."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from simset_bench.console import note, quietly
from simset_bench.corpora.facts.counterfact import read_facts
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.probes.table import PROBES
from simset_bench.evaluation.request import EvalRequest, why_not_asked
from simset_bench.evaluation.run import BATCH_SIZE, evaluate_subject
from simset_bench.evaluation.subject import Subject, subject_of
from simset_bench.evaluation.tasks.table import COUNTERFACT, OUR_TASKS
from simset_bench.models.loading import load_base
from simset_bench.models.sources import find_model, is_source_here
from simset_bench.training.config import TrainConfig, corpus_options
from simset_bench.training.method_options import MEMORY
from simset_bench.training.open_run import open_run
from simset_bench.training.run import train_run
from simset_bench.training.run_folder import EVALUATIONS

# A small run is asked about so many documents and records, and then about so many.
_FEW, _MORE = 2, 4


@dataclass(frozen=True)
class AskingCost:
    """Seconds that a request takes: for each task a constant and what one document or record more adds, and `beside`
    what no task takes, such as building the rows and a question-answer fine-tuning."""

    tasks: dict[str, tuple[float, float]]
    beside: float

    def seconds(self, sizes: dict[str, int]) -> float:
        """Seconds of a request whose tasks ask about so many documents or records each."""
        return self.beside + sum(self.tasks[task][0] + self.tasks[task][1] * size for task, size in sizes.items())


def asking_seconds(
    configs: Sequence[TrainConfig],
    requests: Sequence[EvalRequest],
    folder_of: Callable[[TrainConfig], Path],
    baselines: bool = False,
) -> tuple[float, list[str]]:
    """Seconds on this machine to ask the runs of `configs` what they have no result of; with `baselines` their bare
    bases too. And the models that are not on this machine: their runs are not counted, since measuring them would
    download or pretrain the model.

    A run of four documents is trained for one epoch, and asked about two and about four, for each model. Documents of
    other lengths, other methods and hidden states that runs share make the true time another one.
    """
    costs: dict[str, list[AskingCost]] = {}
    seconds = 0.0
    bases: dict[str, TrainConfig] = {}
    absent = {name: not is_source_here(find_model(name)) for name in {config.model for config in configs}}
    not_measured: dict[str, None] = {}
    for config in configs:
        asked = [_askable(config, request) for request in requests]
        missing = [n for n, request in enumerate(asked) if request.tasks and not _is_asked(folder_of(config), request)]
        if not missing:
            continue
        if absent[config.model]:
            not_measured[config.model] = None
            continue
        if config.model not in costs:
            note(f"{config.model}: training a small run and asking it, to measure what asking takes")
            with quietly():
                costs[config.model] = _measured(config, requests)
        of_run = [costs[config.model][number].seconds(_sizes(config, asked[number])) for number in missing]
        seconds += sum(of_run)
        if baselines and (key := f"{config.model} {corpus_options(config)}") not in bases:
            bases[key] = config
            seconds += sum(of_run)
    return seconds, list(not_measured)


def _askable(config: TrainConfig, request: EvalRequest) -> EvalRequest:
    """The request without the tasks that a run of a configuration cannot be asked."""
    tasks = tuple(task for task in request.tasks if why_not_asked(config, task, request.recall) is None)
    return replace(request, tasks=tasks)


def _is_asked(folder: Path, request: EvalRequest) -> bool:
    return all(any((folder / EVALUATIONS).glob(f"{task}*.{request.recall}*.json")) for task in request.tasks)


def _sizes(config: TrainConfig, request: EvalRequest) -> dict[str, int]:
    """How many documents or records each task of a request asks about."""
    sizes = {}
    for name in request.tasks:
        task = OUR_TASKS.get(name) or PROBES.get(name)
        reads_records = task is not None and task.data == COUNTERFACT
        count = len(read_facts(request.data)) if reads_records else config.num_docs or _MORE
        sizes[name] = min(count, request.limit or count)
    return sizes


def _measured(config: TrainConfig, requests: Sequence[EvalRequest]) -> list[AskingCost]:
    """The cost of each request to a small run of a configuration's model on its documents."""
    documents = min(_MORE, config.num_docs or _MORE)
    shape = {name: getattr(config, name) for name in ("model", "corpus", "group_by", "match_subjects", "max_tokens")}
    small = TrainConfig(**shape, num_docs=documents, epochs=1, dtype=config.dtype, device=config.device)
    if config.method == MEMORY:
        small = replace(small, layer=config.layer)
    with TemporaryDirectory() as work:
        base = load_base(config.model, config.dtype, config.device)
        subject = subject_of(MemoryLM(base, BATCH_SIZE), open_run(train_run(small, Path(work), base=base)))
        # What is imported and set up once is no cost of each run.
        evaluate_subject(subject, replace(requests[0], limit=1))
        return [_cost(subject, request) for request in requests]


def _cost(subject: Subject, request: EvalRequest) -> AskingCost:
    few, more = (_timed(subject, replace(request, limit=limit)) for limit in (_FEW, _MORE))
    tasks = {}
    for task in request.tasks:
        each = max(0.0, (more[0][task] - few[0][task]) / (_MORE - _FEW))
        tasks[task] = (max(0.0, few[0][task] - each * _FEW), each)
    return AskingCost(tasks, min(few[1], more[1]))


def _timed(subject: Subject, request: EvalRequest) -> tuple[dict[str, float], float]:
    """Seconds of each task of a request, and those beside them."""
    began = time.monotonic()
    tasks = dict.fromkeys(request.tasks, 0.0)
    for result in evaluate_subject(subject, request):
        tasks[result["task"]] += result["seconds"]
    return tasks, max(0.0, time.monotonic() - began - sum(tasks.values()))
