"""The files that one evaluation leaves in a run's `eval/`: a result, its samples, and the rows that were asked."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from simset_bench.corpora.facts.fact import BUILTIN
from simset_bench.evaluation.estimates import Scored
from simset_bench.evaluation.follows import follows
from simset_bench.evaluation.lm_eval_names import version
from simset_bench.evaluation.measures import RESULT_SCHEMA
from simset_bench.evaluation.probes.table import PROBES
from simset_bench.evaluation.result_form import MOST_SAMPLE_BYTES, check_result, checked_sample
from simset_bench.evaluation.task_options import SAME_CORPUS, SUBJECTS
from simset_bench.evaluation.tasks.rows import Row, write_rows
from simset_bench.evaluation.tasks.table import OUR_TASKS
from simset_bench.files import clear_leftovers, sha256_of_texts, waiting_lock, write_json, write_text
from simset_bench.strict_json import is_number, read_json_lines, read_object
from simset_bench.training.qa_finetune import QuestionPair

Result = dict[str, Any]
_LOCK = ".lock"
_FINEST = "float32"
# What an error says of a model whose figures are not finite, or as good as not.
NO_NUMBERS = "the model computes no usable numbers"


@dataclass(frozen=True)
class ResultKey:
    """All that a result of one task stands for, beside the run.

    `data` is the source that the task reads beside the documents, None where it reads none, `data_sha256` the hash of
    what was read. `pairs` are those of the Q-A fine-tuning before it, None without one; `qa_disjoint` says what they
    share with no probe. With `control` the untouched base was asked the same.
    """

    task: str
    recall: str
    limit: int | None
    data: str | None
    data_sha256: str
    dtype: str
    pairs: Sequence[QuestionPair] | None
    control: bool = False
    qa_disjoint: str = SUBJECTS

    @property
    def label(self) -> str:
        """The task, followed by `:` and the name of its data where that is not a default."""
        if self.data in (None, BUILTIN, SAME_CORPUS):
            return self.task
        assert self.data is not None
        return f"{self.task}:{re.sub(r'[^A-Za-z0-9_.-]', '_', Path(self.data).stem)}"

    @property
    def stem(self) -> str:
        """The beginning of the files' names."""
        return stem_of(self.label, self.recall, self.pairs is not None, self.qa_disjoint)


def stem_of(label: str, recall: str, qa_finetuned: bool, qa_disjoint: str | None) -> str:
    """The beginning of the names of a result's files."""
    after = "" if not qa_finetuned else ".qa" if qa_disjoint in (None, SUBJECTS) else f".qa-{qa_disjoint}"
    # A task of the user's own may have any name, also one that leads out of the folder.
    return f"{re.sub('[:/]', '-', label)}.{recall}{after}"


def write_result(
    folder: Path, key: ResultKey, scored: Scored, rows: dict[str, list[Row]], seconds: float
) -> dict[str, Any]:
    """Write rows and samples, then the result that stands for them, and return the result.

    An earlier result is removed first, so that a result always belongs to the samples beside it, also after an
    interruption. Leftovers of a killed command are removed too.
    Raises RuntimeError for a measure that is no number, or beyond what figures can be computed with.
    """
    for name, estimate in scored.estimates.items():
        if not is_number(estimate.value):
            raise RuntimeError(f"task {key.task}: {name} is {estimate.value}, so {NO_NUMBERS}")
    result = _result(key, scored, seconds)
    stem = key.stem
    lines = (json.dumps(record, ensure_ascii=False, sort_keys=True) for record in scored.samples)
    with waiting_lock(folder / _LOCK):
        for leftover in folder.glob(f".{stem}.*"):
            leftover.unlink()
        (folder / f"{stem}.json").unlink(missing_ok=True)
        for name in _parts(key.task):
            clear_leftovers(folder / f"rows_{key.recall}" / f"{name}.jsonl")
            write_rows(folder / f"rows_{key.recall}", name, rows[name])
        write_text(folder / f"{stem}.samples.jsonl", "".join(f"{line}\n" for line in lines))
        write_json(folder / f"{stem}.json", result)
    return result


def hash_of_rows(task: str, rows: dict[str, list[Row]]) -> str:
    """SHA-256 of the rows of a task of ours among `rows`; the hash of no rows for a task of lm-eval."""
    return sha256_of_texts([json.dumps(rows[part], sort_keys=True) for part in dict.fromkeys(_parts(task))])


def find_result(folder: Path, key: ResultKey, *, any_finer: bool = False) -> Result | None:
    """An earlier result with the same key (task, version, data, options and lm-eval), or None.

    A damaged result is none, nor is one that does not follow from its samples. With `any_finer` one in float32 stands
    for one in a coarser dtype. The pairs of a Q-A fine-tuning are not compared, since they follow from the rows and
    from `qa_disjoint`.
    """
    try:
        result = read_object(folder / f"{key.stem}.json")
        asked = {name: value for name, value in _fields(key).items() if not (any_finer and name == "dtype")}
        if any(result.get(name) != value for name, value in asked.items()):
            return None
        if result.get("dtype") not in (key.dtype, _FINEST):
            return None
        check_result(result)
        lines = read_json_lines(folder / f"{key.stem}.samples.jsonl", MOST_SAMPLE_BYTES)
        records = [checked_sample(line) for line in lines]
        for measure in result["measures"]:
            follows(key.stem, measure, result, records)
    except (OSError, ValueError):
        return None
    return result


def _parts(task: str) -> list[str]:
    return list(OUR_TASKS[task].parts.values()) if task in OUR_TASKS else []


def _version(task: str) -> int:
    """The version of a task of ours; 1 for a task of lm-eval, whose own version the result keeps."""
    ours = OUR_TASKS.get(task) or PROBES.get(task)
    return ours.version if ours else 1


def _fields(key: ResultKey) -> dict[str, Any]:
    """The fields of a result that its key sets."""
    return {
        "schema": RESULT_SCHEMA,
        "task": key.task,
        "label": key.label,
        "task_version": _version(key.task),
        "recall": key.recall,
        "qa_finetuned": key.pairs is not None,
        "qa_disjoint": None if key.pairs is None else key.qa_disjoint,
        "limit": key.limit,
        "control": key.control,
        "data": key.data,
        "data_sha256": key.data_sha256,
        "lm_eval": version(),
        "dtype": key.dtype,
    }


def _result(key: ResultKey, scored: Scored, seconds: float) -> Result:
    pairs = key.pairs
    return {
        **_fields(key),
        "qa_pairs": None if pairs is None else len(pairs),
        "qa_pairs_sha256": None if pairs is None else sha256_of_texts([repr(pair) for pair in pairs]),
        "measures": {name: estimate.value for name, estimate in scored.estimates.items()},
        "standard_errors": {name: estimate.standard_error for name, estimate in scored.estimates.items()},
        "n": {name: estimate.n for name, estimate in scored.estimates.items()},
        "groups": {
            name: {value: {measure: asdict(one) for measure, one in part.items()} for value, part in parts.items()}
            for name, parts in scored.groups.items()
        },
        "generation": scored.generation,
        "higher_is_better": scored.higher_is_better,
        "seconds": seconds,
    }
