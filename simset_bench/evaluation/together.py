"""The answers of several runs on one base, written together before each run is evaluated."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simset_bench.console import note
from simset_bench.errors import RequestError
from simset_bench.evaluation.harness import answers_wanted
from simset_bench.evaluation.lm.answer_calls import Call, KnownAnswers
from simset_bench.evaluation.lm_eval_internals import Instance
from simset_bench.evaluation.probes.table import PROBES
from simset_bench.evaluation.request import EvalRequest
from simset_bench.evaluation.subject import Subject
from simset_bench.evaluation.tasks.build import TaskRows
from simset_bench.evaluation.tasks.rows import Row
from simset_bench.evaluation.tasks.table import OUR_TASKS
from simset_bench.training.methods.table import LEARNING_METHODS

# Beyond these, more runs share little more, and all would wait longer for the first result.
RUNS_TOGETHER = 16

Known = dict[tuple[Any, ...], KnownAnswers]


@dataclass(frozen=True)
class Asked:
    """A subject, what it is asked, and the rows of our tasks, which lie in their folder."""

    subject: Subject
    request: EvalRequest
    rows: TaskRows


def known_answers(asked: Sequence[Asked]) -> list[Known]:
    """The answers that subjects on one base will be asked for, by `Call.key`, a dictionary for each subject.

    A subject has none where it is the only one, where its method has prefixes or changes the weights that others answer
    with, and where the model needs lm-eval's own loop. Those after a fine-tuning on questions are not among them.
    """
    known: list[Known] = [{} for _ in asked]
    if len(asked) < 2:
        return known
    calls: dict[tuple[int | None, tuple[Any, ...]], Call] = {}
    users: dict[tuple[int | None, tuple[Any, ...]], list[int]] = {}
    for number, each in enumerate(asked):
        for call in _calls(each):
            # All subjects share the answers of the bare base.
            key = None if call.at_work is None else number, call.key()
            calls.setdefault(key, call)
            users.setdefault(key, []).append(number)
    count = sum(len(call.requests) for call in calls.values())
    if not count:
        return known
    note(f"writing {count} answers of {len(asked)} runs together")
    started = time.monotonic()
    try:
        answers = asked[0].subject.lm.answer_calls.answers(list(calls.values()))
    except RuntimeError as error:
        note(f"each run's answers are written by themselves: {error}")
        return known
    seconds = (time.monotonic() - started) / count
    for (key, call), of_call in zip(calls.items(), answers, strict=True):
        for number in users[key] if of_call is not None else ():
            known[number][key[1]] = KnownAnswers(of_call or [], seconds * len(call.requests))
    return known


def _calls(asked: Asked) -> list[Call]:
    """What a subject and, for a comparison, the bare base will be asked to write; none where the request is wrong."""
    subject, request, rows = asked.subject, asked.request, asked.rows
    learning = LEARNING_METHODS.get(subject.config.method)
    if subject.run is not None and learning is not None and learning.load_weights is not None:
        return []
    if subject.prefixes_at_work(request.recall) is not None:
        return []
    calls = []
    try:
        at_work = subject.memory_at_work(request.recall)
        for name in (name for name in request.tasks if name not in PROBES):
            task = OUR_TASKS.get(name)
            if task is None:
                wanted = answers_wanted(name, rows.folder, request.limit, request.include_path)
                calls.append(Call(at_work, wanted))
                continue
            calls.append(Call(at_work, _wanted(name, subject, rows.asked, rows.folder)))
            if subject.run is not None and (request.control or task.beside_base):
                calls.append(Call(None, _wanted(name, subject.bare, rows.bare, rows.bare_folder)))
        # What is wrong with a request is said when it is asked.
        return [call for call in calls if call.requests and call.key()]
    except RequestError:
        return []


def _wanted(name: str, subject: Subject, rows: dict[str, list[Row]], folder: Path) -> list[Instance]:
    """The answers to the rows of one of our tasks, which also lie in `folder`."""
    task = OUR_TASKS[name]
    return task.direct_answers(subject, rows) if task.direct_answers else answers_wanted(name, folder, None)
