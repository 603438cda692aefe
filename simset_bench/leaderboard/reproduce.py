"""Doing an entry again: samples of it from the run that it came from, or the whole of it from its configuration."""

import dataclasses
import json
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simset_bench.errors import RequestError
from simset_bench.evaluation.baseline import KEPT, evaluate_baseline
from simset_bench.evaluation.memory_lm import MemoryLM
from simset_bench.evaluation.request import EvalRequest
from simset_bench.evaluation.run import BATCH_SIZE, Subject, evaluate_runs, evaluate_subject
from simset_bench.models.loading import load_base
from simset_bench.results.compare import gather_evidence, mean_over_seeds, uncertain
from simset_bench.results.migrate import migrated
from simset_bench.results.samples import PARQUET, read_samples, samples_file
from simset_bench.results.statistics import intervals
from simset_bench.training.config import read_config
from simset_bench.training.run import load_run, train_run
from simset_bench.training.run_folder import CONFIG, EVALUATIONS, MANIFEST, read_folder_config, read_manifest

# Another machine, or another batch beside it, moves a float32 log-probability by about this much.
_SAME_SAMPLE = 1e-3


@dataclass(frozen=True)
class Again:
    """One figure of an entry and what it came to again; `interval` is the entry's at 95%, None where none is known."""

    measure: str
    entry: float
    interval: tuple[float, float] | None
    again: float

    @property
    def within(self) -> bool:
        """Whether the figure came out again within the entry's interval, or is the same."""
        if math.isclose(self.entry, self.again, rel_tol=_SAME_SAMPLE, abs_tol=_SAME_SAMPLE):
            return True
        return self.interval is not None and self.interval[0] <= self.again <= self.interval[1]


def recompute_samples(entry: Path, run: Path, count: int) -> int:
    """Evaluate samples of an entry again from its run, those about the first `count` documents or records of each
    task; returns how many were compared. Raises RequestError where a figure is another, or the run is."""
    theirs, ours = _manifest(entry), read_manifest(run)
    if theirs["hashes"] != ours["hashes"]:
        raise RequestError(f"{run}: is not the run that {entry} came from (their hashes differ)")
    loaded = load_run(run)
    lm = MemoryLM(load_base(loaded.config.model, loaded.config.dtype, loaded.config.device), BATCH_SIZE)
    compared = 0
    with tempfile.TemporaryDirectory(prefix="simset-bench-") as folder:
        for result in _results(entry):
            request = _request(result, min(count, result["limit"] or count))
            subject = Subject(Path(folder), loaded.config, loaded.documents, loaded)
            evaluate_subject(lm, subject, request)
            stem = result["stem"]
            kept = {_key(r): r for r in read_samples(entry / EVALUATIONS / f"{stem}{PARQUET}")}
            for record in read_samples(Path(folder) / EVALUATIONS / f"{stem}.samples.jsonl"):
                compared += _compare_sample(entry, stem, kept.get(_key(record)), record)
    return compared


def _key(record: dict[str, Any]) -> tuple[str, ...]:
    return (str(record["sample"]), record["prompt_hash"], record["target_hash"])


def _compare_sample(entry: Path, stem: str, kept: dict[str, Any] | None, record: dict[str, Any]) -> int:
    if kept is None:
        raise RequestError(f"{entry}: refused: {stem} has no sample {record['sample']} as the run gives it")
    for name, value in record["measures"].items():
        # What is measured against the other documents depends on how many of them are asked.
        if stem.startswith("location") and name in ("erasure_others", "attribution_at_1"):
            continue
        told = kept["measures"].get(name)
        if told is None or not math.isclose(told, value, rel_tol=_SAME_SAMPLE, abs_tol=_SAME_SAMPLE):
            raise RequestError(
                f"{entry}: refused: {name} of sample {record['sample']} in {stem} is {told}, the run gives {value}"
            )
    return 1


def reproduce(entry: Path, root: Path) -> list[Again]:
    """Train and evaluate an entry's configuration again below `root`, and compare each of its figures.

    Raises RequestError where corpus or model are no longer the same.
    """
    manifest = _manifest(entry)
    requests = [_request(result, result["limit"]) for result in _results(entry)]
    if manifest["kind"] == "baseline":
        about = {name: value for name, value in read_config(entry / CONFIG).items() if name in KEPT}
        device, dtype = about.pop("device"), about.pop("dtype")
        for request in requests:
            found = evaluate_baseline(about, dataclasses.replace(request, device=device, dtype=dtype), root)
        folder = Path(found[0]["run"])
    else:
        folder = train_run(read_folder_config(entry), root, resume=True)
        for request in requests:
            evaluate_runs([folder], request)
    now = _manifest(folder)["hashes"]
    for name in ("model", "corpus"):
        if now[name] != manifest["hashes"][name]:
            raise RequestError(f"{entry}: {name} is no longer what the entry was made with (their hashes differ)")
    return [again for result in _results(entry) for again in _compared(entry, folder, result)]


def _compared(entry: Path, folder: Path, result: dict[str, Any]) -> list[Again]:
    path = entry / EVALUATIONS / f"{result['stem']}.json"
    found = json.loads((folder / EVALUATIONS / path.name).read_text(encoding="utf-8"))
    again = []
    for name, value in result["measures"].items():
        score = mean_over_seeds([value], [result["standard_errors"][name]], [str(samples_file(path))])
        (evidence,) = gather_evidence([(score, name)])
        (interval,) = intervals([uncertain(score, evidence)], name)
        again.append(Again(f"{result['stem']}/{name}", value, interval, float(found["measures"][name])))
    return again


def _manifest(folder: Path) -> dict[str, Any]:
    return migrated(json.loads((folder / MANIFEST).read_text(encoding="utf-8")))


def _results(entry: Path) -> list[dict[str, Any]]:
    paths = sorted((entry / EVALUATIONS).glob("[!.]*.json"))
    found = [json.loads(path.read_text(encoding="utf-8")) | {"stem": path.stem} for path in paths]
    # A result after Q-A fine-tuning comes with the one before it.
    tuned = {(each["label"], each["recall"], each["limit"]) for each in found if each["qa_finetuned"]}
    return [
        each for each in found if each["qa_finetuned"] or (each["label"], each["recall"], each["limit"]) not in tuned
    ]


def _request(result: dict[str, Any], limit: int | None) -> EvalRequest:
    data = result["data"] or "builtin"
    return EvalRequest((result["task"],), result["recall"], limit, data, bool(result["qa_finetuned"]), result["dtype"])
