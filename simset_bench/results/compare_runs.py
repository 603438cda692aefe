"""Two runs side by side: each measure's difference, and the samples that changed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from simset_bench.errors import RequestError
from simset_bench.evaluation.measures import Direction, bare_name
from simset_bench.results.differences import Difference, corrected, difference_of
from simset_bench.results.read import RunTable, defined_values, read_runs, seed_of
from simset_bench.results.run_files import check_packed
from simset_bench.results.samples import question_of, read_samples
from simset_bench.results.scores import Score, score_of, with_evidence


@dataclass(frozen=True)
class MeasurePair:
    """One measure of two runs: both scores, the difference (first less second) on the documents that both share, and
    its p value after Holm's correction over all measures that are compared (1 where no test was possible)."""

    measure: str
    better: Direction | None
    first: float
    second: float
    difference: Difference
    corrected_p: float


@dataclass(frozen=True)
class Change:
    """One sample's values in both runs, with its prompt and both answers (empty where there are none).

    Where all of one text was scored, that text is the prompt.
    """

    sample: str
    first: float
    second: float
    prompt: str
    answers: tuple[str, str]


def one_run(folder: Path) -> RunTable:
    """The table of a single run, baseline or entry. Raises RequestError if `folder` is none of these."""
    if not folder.is_dir():
        check_packed(folder)
    table = read_runs([folder])
    if str(folder) not in table.runs.index:
        reasons = [left.reason for left in table.left_out if folder in (left.path, left.path.parent)]
        raise RequestError(f"{folder}: not a finished run or entry{f' ({reasons[0]})' if reasons else ''}")
    return table


def compare_runs(first: Path, second: Path) -> list[MeasurePair]:
    """Compare two runs on every measure that both have, on the documents about which both were asked the same.

    Measures that have a fixed value in either run are left out. Raises RequestError if the two share no measure.
    """
    tables = [one_run(folder) for folder in (first, second)]
    one, other = (_by_measure(table) for table in tables)
    shared = [measure for measure in one if measure in other]
    if not shared:
        raise RequestError(f"{first} and {second} share no measure: evaluate both on the same tasks")
    seeds = [seed_of(table.runs.iloc[0]) for table in tables]
    scores = with_evidence(
        [_score(rows[name], seed) for name in shared for rows, seed in zip((one, other), seeds, strict=True)]
    )
    differences = [difference_of(scores[n], scores[n + 1], len(shared)) for n in range(0, len(scores), 2)]
    return [
        MeasurePair(name, one[name]["better"], one[name]["value"], other[name]["value"], difference, p)
        for name, difference, p in zip(shared, differences, corrected(differences), strict=True)
    ]


def _by_measure(table: RunTable) -> dict[str, pd.Series]:
    return {str(row["measure"]): row for _, row in defined_values(table.values, table.runs).iterrows()}


def _score(row: pd.Series, seed: str | None) -> Score:
    value, error, samples = ([row[name]] for name in ("value", "standard_error", "samples"))
    return score_of(str(row["measure"]), value, error, samples, [str(seed)], seed is not None)


def changed_samples(first: Path, second: Path, measure: str) -> list[Change]:
    """The samples of both runs that differ on a measure, largest change first."""
    tables = [_by_measure(one_run(folder)) for folder in (first, second)]
    for folder, table in zip((first, second), tables, strict=True):
        if measure not in table:
            raise RequestError(f"{folder} has no measure {measure}: it has {', '.join(table)}")
    one, other = ({question_of(record): record for record in _records(table[measure])} for table in tables)
    name = bare_name(measure)
    changes = [
        Change(
            key[0],
            a["measures"][name],
            b["measures"][name],
            whole_text_of(a) or prompt_of(a),
            (answer_of(a), answer_of(b)),
        )
        for key, a in one.items()
        if (b := other.get(key)) and name in a["measures"] and name in b["measures"]
    ]
    differing = [change for change in changes if change.first != change.second]
    return sorted(differing, key=lambda change: (-abs(change.first - change.second), change.sample))


def _records(row: pd.Series) -> list[dict[str, Any]]:
    try:
        return read_samples(Path(row["samples"]))
    except (OSError, ValueError) as error:
        raise RequestError(f"{row['samples']}: missing or damaged ({error})") from error


def prompt_of(record: dict[str, Any]) -> str:
    """The prompt of a sample, empty if its record has none."""
    arguments = _first_arguments(record)
    return str(arguments[0]) if arguments else ""


def target_of(record: dict[str, Any]) -> str:
    """The text whose likelihood was measured, empty if the model answered freely."""
    second = _first_arguments(record)[1:2]
    # A generation's second argument is its settings.
    return second[0] if second and isinstance(second[0], str) and not second[0].startswith("{") else ""


def arguments_of(record: dict[str, Any]) -> list[list[Any]]:
    """What each request of a sample was made with, empty if its record has none."""
    arguments = record.get("arguments")
    is_form = isinstance(arguments, list) and all(isinstance(each, list) for each in arguments)
    return arguments if is_form and arguments else []


def _first_arguments(record: dict[str, Any]) -> list[Any]:
    return next(iter(arguments_of(record)), [])


def whole_text_of(record: dict[str, Any]) -> str:
    """The text of a sample that scores one text, as `docmem` does after its first token; empty of any other sample."""
    is_one = len(arguments_of(record)) == 1 and target_of(record)
    return prompt_of(record) + target_of(record) if is_one else ""


def answer_of(record: dict[str, Any]) -> str:
    """The first answer, empty if likelihoods were measured."""
    answers: Any = record.get("responses") or []
    while isinstance(answers, list) and answers:
        answers = answers[0]
    return answers if isinstance(answers, str) else ""


def texts_of(record: dict[str, Any]) -> dict[str, str]:
    """The texts of a sample by what they are, without empty ones: the whole text where one was scored, else `asked`,
    `target` and `answer`."""
    whole = whole_text_of(record)
    texts = {"text": whole}
    if not whole:
        texts = {"asked": prompt_of(record), "target": target_of(record), "answer": answer_of(record)}
    return {name: text for name, text in texts.items() if text}
