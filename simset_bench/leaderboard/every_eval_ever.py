"""A run's figures and samples in the form of Every Eval Ever (arXiv 2606.14516), version 0.3.0 of its schema.

https://github.com/evaleval/every_eval_ever has `eval.schema.json`, of which a run is one object, and
`instance_level_eval.schema.json`, of which each value of a measure on a sample is one line.
"""

import hashlib
import json
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simset_bench.errors import RequestError
from simset_bench.evaluation.measures import Measure, after_qa, find_measure
from simset_bench.evaluation.result_form import check_result
from simset_bench.evaluation.tasks.table import OUR_TASKS
from simset_bench.files import sha256_of_file, sha256_of_texts, write_json, write_text
from simset_bench.leaderboard.entries import entry_name
from simset_bench.package import VERSION
from simset_bench.results.compare_runs import answer_of, arguments_of, one_run, prompt_of, target_of, whole_text_of
from simset_bench.results.forms import checked_manifest
from simset_bench.results.run_options import read_options
from simset_bench.results.samples import read_samples, samples_file, short_record
from simset_bench.strict_json import read_json_lines, read_object
from simset_bench.training.chain import all_corpora
from simset_bench.training.run_folder import CONFIG, EVALUATIONS, MANIFEST

SCHEMA_VERSION = "0.3.0"
COLLECTION = "simset-bench"
_ON_HUB = re.compile(r"(?:^|:)hub:([\w.-]+/[\w.-]+)")
_MOST_ROW_BYTES = 1 << 30
Record = dict[str, Any]


@dataclass(frozen=True)
class Exported:
    """The files that an export wrote, and how many figures and values of samples are in them."""

    path: Path
    samples_path: Path
    figures: int
    values: int


@dataclass(frozen=True)
class _Asked:
    """A result: its name as boards have it, what it holds, its samples, and right answers by sample where known."""

    name: str
    result: Record
    samples: Sequence[Record]
    answers: Mapping[str, list[str]]


def export_run(folder: Path, to: Path, organization: str, now: int) -> Exported:
    """Write a run or an entry below `to`, at `data/simset-bench/ORGANIZATION/MODEL/`, as the shared data set has it.

    `organization` published the run, `now` is the time in seconds since 1970. A second export of the same figures
    replaces the first. Measures of which neither side is better are left out, since the form has no place for them.
    Raises RequestError for a folder that is no evaluated run, and for a damaged result.
    """
    one_run(folder)
    manifest = checked_manifest(read_object(folder / MANIFEST))
    config = read_options(folder / CONFIG)
    asked = [_read(path) for path in sorted((folder / EVALUATIONS).glob("[!.]*.json"))]
    if not asked:
        raise RequestError(f"{folder}: was not evaluated (simset-bench eval {folder} --task docmem does it)")
    developer, model = _slug(organization), entry_name(folder, manifest)
    model_id = f"{developer}/{model}"
    place = Path("data") / COLLECTION / developer / model
    stem = _uuid(folder, asked)
    head = {"schema_version": SCHEMA_VERSION, "evaluation_id": f"{COLLECTION}/{model_id}/{now}"}
    lines = [line for each in asked for line in _lines(each, head, model_id)]
    samples_path = to / place / f"{stem}_samples.jsonl"
    write_text(samples_path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    corpora = all_corpora(manifest, str(config.get("corpus")))
    figures = [figure for each in asked for figure in _figures(each, " + ".join(corpora), manifest)]
    record = head | {
        "retrieved_timestamp": str(now),
        "source_metadata": {
            "source_name": "simset-bench",
            "source_type": "evaluation_run",
            "source_organization_name": organization,
            "evaluator_relationship": "first_party",
        },
        "eval_library": {
            "name": "simset-bench",
            "version": str(manifest.get("versions", {}).get("simset-bench", VERSION)),
            "additional_details": {"lm_eval": str(asked[0].result.get("lm_eval"))},
        },
        "model_info": {
            "name": model,
            "id": model_id,
            "developer": organization,
            "inference_engine": {
                "name": "transformers",
                "version": str(manifest.get("versions", {}).get("transformers", "unknown")),
            },
            "additional_details": {"deployment_type": "self_deployed", "model_availability": "unknown"}
            | {f"option_{name}": str(value) for name, value in config.items() if value is not None},
        },
        "evaluation_results": figures,
        "detailed_evaluation_results": {
            "format": "jsonl",
            "file_path": (place / samples_path.name).as_posix(),
            "hash_algorithm": "sha256",
            "checksum": sha256_of_file(samples_path),
            "total_rows": len(lines),
        },
    }
    path = to / place / f"{stem}.json"
    write_json(path, record)
    return Exported(path, samples_path, len(figures), len(lines))


def _read(path: Path) -> _Asked:
    samples = samples_file(path)
    try:
        result = read_object(path)
        check_result(result)
        recall = "" if result["recall"] == "free" else f"@{result['recall']}"
        name = result["label"] + recall + (after_qa(result.get("qa_disjoint")) if result["qa_finetuned"] else "")
        return _Asked(name, result, read_samples(samples), _answers(path.parent, result))
    except (OSError, ValueError) as error:
        raise RequestError(f"{path}: damaged, or its samples are ({' '.join(str(error).split())})") from error


def _answers(folder: Path, result: Record) -> dict[str, list[str]]:
    """Right answers by sample, from the rows that a run keeps; an entry keeps none."""
    task = OUR_TASKS.get(result["task"])
    answers: dict[str, list[str]] = {}
    for part in task.parts.values() if task else ():
        path = folder / f"rows_{result['recall']}" / f"{part}.jsonl"
        for row in read_json_lines(path, _MOST_ROW_BYTES) if path.is_file() else ():
            right = row.get("answers") or row.get("target")
            given = right if isinstance(right, list) else [right]
            if all(isinstance(each, str) for each in given):
                answers[str(row.get("sample"))] = given
    return answers


def _known(asked: _Asked) -> Iterator[tuple[str, Measure]]:
    """The measures of a result that have a better side, by the names that its samples have."""
    task = str(asked.result["label"])
    for name in asked.result["measures"]:
        measure = find_measure(f"{task}/{name}")
        if measure.better is not None:
            yield name, measure


def _figures(asked: _Asked, corpus: str, manifest: Record) -> Iterator[Record]:
    for name, measure in _known(asked):
        low, high = measure.bounds
        error, count = asked.result["standard_errors"].get(name), asked.result["n"].get(name)
        uncertainty: Record = {"num_samples": count} if count is not None else {}
        if error is not None:
            uncertainty["standard_error"] = {"value": error, "method": "clustered by document"}
        yield {
            "evaluation_result_id": f"{asked.name}/{name}",
            "evaluation_name": f"{COLLECTION}.{asked.name}",
            "source_data": _source(asked.result.get("data"), corpus, manifest),
            "metric_config": {
                "metric_id": f"{COLLECTION}.{asked.result['task']}.{name}",
                "metric_name": name,
                "metric_kind": measure.name.rpartition("/")[2],
                **({"metric_unit": "proportion" if measure.is_share else measure.unit} if measure.unit else {}),
                "lower_is_better": measure.better == "lower",
                "score_type": "continuous",
                "min_score": "-Infinity" if low is None else low,
                "max_score": "Infinity" if high is None else high,
            },
            "score_details": {"score": asked.result["measures"][name], "uncertainty": uncertainty},
            **_generation(asked.result),
        }


def _generation(result: Record) -> Record:
    """How answers were decoded, where all parts of a task that are answered freely were decoded in one way."""
    ways = list((result.get("generation") or {}).values())
    if len(ways) != 1:
        return {}
    names = {"temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "max_gen_toks": "max_tokens"}
    given = {ours: ways[0][name] for name, ours in names.items() if ways[0].get(name) is not None}
    rest = {name: json.dumps(value) for name, value in ways[0].items() if name not in names}
    return {"generation_config": {"generation_args": given, "additional_details": rest}}


def _source(data: object, corpus: str, manifest: Record) -> Record:
    """The data set that a result's samples are from."""
    own = data in (None, "corpus")
    name = corpus if own else str(data)
    if (match := _ON_HUB.search(name)) and " + " not in name:
        return {"dataset_name": name, "source_type": "hf_dataset", "hf_repo": match[1]}
    details = {"corpus_sha256": str(manifest["hashes"]["corpus"])} if own else {}
    return {"dataset_name": name, "source_type": "other", "additional_details": details}


def _lines(asked: _Asked, head: Record, model_id: str) -> Iterator[Record]:
    measures = dict(_known(asked))
    for record in asked.samples:
        sample = str(record["sample"])
        prompt = whole_text_of(record) or prompt_of(record)
        target, answer = target_of(record), answer_of(record)
        reference = asked.answers.get(sample) or ([target] if target else [])
        asked_with = [argument[1] for argument in arguments_of(record) if len(argument) > 1]
        choices = list(map(str, asked_with)) if target and len(asked_with) > 1 else None
        shared = head | {
            "model_id": model_id,
            "evaluation_name": f"{COLLECTION}.{asked.name}",
            "sample_id": sample,
            "sample_hash": sha256_of_texts([prompt, *reference]),
            "interaction_type": "single_turn",
            "input": {"raw": prompt, "reference": reference, **({"choices": choices} if choices else {})},
            "output": {"raw": [answer] if answer else []},
            "answer_attribution": [_attribution(answer)] if answer else [],
            "metadata": _about(record),
        }
        for name, value in record["measures"].items():
            if name in measures and value is not None:
                judged = {"score": value, "is_correct": _is_correct(measures[name], value)}
                yield shared | {"evaluation_result_id": f"{asked.name}/{name}", "evaluation": judged}


def _attribution(answer: str) -> Record:
    line = answer.strip().split("\n")[0]
    return {"turn_idx": 0, "source": "output.raw", "extracted_value": line, "extraction_method": "first_line"} | {
        "is_terminal": True
    }


def _about(record: Record) -> dict[str, str]:
    kept = ("document", "cluster", "relation", "popularity", "label", "tokens", "prompt_hash", "target_hash", "routed")
    # A run and its entry are to say the same.
    short = short_record(record)
    return {name: str(short[name]) for name in kept if short.get(name) is not None}


def _is_correct(measure: Measure, value: float) -> bool:
    """Whether a share has its best value. No other measure calls an answer correct, and the form must have a word."""
    return measure.is_share and value == (1.0 if measure.better == "higher" else 0.0)


def _slug(text: str) -> str:
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")
    if not slug:
        raise RequestError(f"--organization {text!r}: needs a letter or a digit")
    return slug


def _uuid(folder: Path, asked: Sequence[_Asked]) -> str:
    """A UUID of version 4 in its form, equal for equal figures of the same run."""
    texts = [
        (folder / CONFIG).read_text(encoding="utf-8"),
        *(f"{each.name} {each.result['measures']}" for each in asked),
    ]
    digest = hashlib.sha256(sha256_of_texts(texts).encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))
