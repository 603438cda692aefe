"""The data sets of our lm-eval tasks: a run's rows, or rows built for any model, as `eval --baseline` builds them."""

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from simset_bench.errors import RequestError
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.result_form import MOST_SAMPLE_BYTES
from simset_bench.evaluation.subject import Subject
from simset_bench.evaluation.task_options import TaskOptions
from simset_bench.evaluation.tasks.rows import Row
from simset_bench.evaluation.tasks.table import OUR_TASKS
from simset_bench.models.blocks import embedding_rows, find_blocks
from simset_bench.models.fit_tokenizer import fit_tokenizer
from simset_bench.models.loading import Base
from simset_bench.strict_json import read_json_lines
from simset_bench.training.config import make_config
from simset_bench.training.prepare import load_documents

# Keys of --metadata and --model_args that say which documents are asked about; see `train --help`.
_ABOUT = ("corpus", "num_docs", "group_by", "match_subjects", "max_tokens")

# Keys of other tasks are no misspelling of ours, such as `max_length` of `max_tokens`.
_MISSPELT = 0.8


def rows_without_run(
    name: str, pretrained: str | None = None, data: str | dict[str, str] | None = None, **options: Any
) -> list[Row]:
    """The rows `name` of one of our tasks, as the untouched base `pretrained` is asked them.

    `data` is what the task reads beside the documents, or one source for each of several tasks, by their names in
    `simset-bench eval`; without it the task reads its default. `corpus`, `num_docs`, `group_by`, `match_subjects` and
    `max_tokens` are as in `simset-bench eval --baseline`.
    Raises RequestError where no model is named, and where a task without a default has no source.
    """
    if pretrained is None:
        raise RequestError(
            "which rows to ask depends on the model's tokenizer: name it in --model_args pretrained=..., or give "
            '--metadata \'{"pretrained": "..."}\', or the rows of a run: \'{"rows_folder": "RUN/eval/rows_free"}\''
        )
    about = tuple((key, options[key]) for key in _ABOUT if key in options)
    task = next(task for task, record in OUR_TASKS.items() if name in record.parts.values())
    named = data.get(task) if isinstance(data, dict) else data
    source = named or OUR_TASKS[task].default
    if source is None and OUR_TASKS[task].data is not None:
        raise RequestError(
            f'task {task} reads data of its own: name it with --metadata \'{{"data": "..."}}\', {OUR_TASKS[task].data}'
        )
    return _rows_of(task, str(pretrained), source or "", about)[name]


@cache
def _rows_of(task: str, pretrained: str, data: str, about: tuple[tuple[str, Any], ...]) -> dict[str, list[Row]]:
    config = make_config(None, model=pretrained, **dict(about))
    subject = Subject(_only_tokens(pretrained), config, load_documents(config), None, Path())
    return OUR_TASKS[task].rows(subject, TaskOptions(source=data))


@cache
def _only_tokens(pretrained: str) -> MemoryLM:
    """An lm-eval model with the tokenizer of `pretrained` and none of its weights: rows need tokens counted."""
    tokenizer = AutoTokenizer.from_pretrained(pretrained, trust_remote_code=False)
    config = AutoConfig.from_pretrained(pretrained, trust_remote_code=False)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    model.eval()
    fit_tokenizer(tokenizer, embedding_rows(model), pretrained)
    width = model.config.get_text_config().hidden_size
    cpu = torch.device("cpu")
    base = Base(pretrained, model, tokenizer, find_blocks(model), width, cpu, torch.float32, "unknown")
    return MemoryLM(base, 1)


def _check_keys(about: Mapping[str, Any], rows_from: str | None) -> None:
    known = (*_ABOUT, "data")
    for key in about:
        if near := get_close_matches(key, known, 1, _MISSPELT) if key not in known else []:
            raise RequestError(f"--metadata: unknown key {key!r} (did you mean {near[0]!r}?): {', '.join(known)}")
        if rows_from and key in known:
            raise RequestError(
                f"--metadata: {key!r} would change nothing, since {rows_from} names rows that are asked as they are: "
                "ask the run about other data by `simset-bench eval RUN --task TASK --data ...`, and lm-eval after it"
            )


def load(
    name: str, rows_folder: str | None = None, run: str | None = None, recall: str = "free", **about: Any
) -> dict[str, Any]:
    """The rows `name` as the split `test`; a task's `custom_dataset` names this function.

    The rows are read from `rows_folder`, or from what `simset-bench eval` left in the folder of a `run`. Where neither
    is given they are built for lm-eval's model (see `rows_without_run`). `name` comes from the task's `dataset_kwargs`,
    all else from `--metadata` and `--model_args`, whose other keys are for other tasks or for the model.
    Raises RequestError where a file of rows is missing, for a key that would change what a run was asked, and for one
    that is nearly a key of ours.
    """
    from datasets import Dataset

    _check_keys(about, "rows_folder" if rows_folder else "run" if run else None)
    if rows_folder is None and run is None:
        return {"test": Dataset.from_list(rows_without_run(name, **about))}
    path = (Path(rows_folder) if rows_folder else Path(str(run)) / "eval" / f"rows_{recall}") / f"{name}.jsonl"
    if not path.is_file():
        raise RequestError(f"{path}: missing; `simset-bench eval RUN --task ...` makes the rows of a run")
    try:
        rows = read_json_lines(path, MOST_SAMPLE_BYTES)
    except (OSError, ValueError) as error:
        raise RequestError(f"{path}: cannot be read ({' '.join(str(error).split())[:160]})") from error
    return {"test": Dataset.from_list(rows)}
