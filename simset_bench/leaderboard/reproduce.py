"""Repeating an entry: some of its samples by its run, or all of it from its configuration."""

import dataclasses
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simset_bench.corpora.documents import hash_documents
from simset_bench.corpora.facts.fact import BUILTIN
from simset_bench.errors import RequestError
from simset_bench.evaluation.baseline import KEPT, evaluate_baseline
from simset_bench.evaluation.forgetting import forget
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.measures import BITS, FLOORS, NATS, find_measure
from simset_bench.evaluation.probes.table import PROBES
from simset_bench.evaluation.request import EvalRequest
from simset_bench.evaluation.run import BATCH_SIZE, evaluate_runs, evaluate_subject
from simset_bench.evaluation.subject import subject_of
from simset_bench.evaluation.task_options import SUBJECTS
from simset_bench.leaderboard.entry_folder import entry_folder
from simset_bench.models.loading import load_base
from simset_bench.models.revision import changed_since
from simset_bench.results.forms import BASELINE, checked_manifest
from simset_bench.results.samples import PARQUET, question_of, read_samples, samples_file
from simset_bench.results.scores import interval, score_of, with_evidence
from simset_bench.strict_json import read_object
from simset_bench.training.chain import FORGOT, chain_of
from simset_bench.training.config import TrainConfig, checked_option, make_config, read_config
from simset_bench.training.method_options import find_method
from simset_bench.training.open_run import OpenedRun, open_run
from simset_bench.training.prepare import load_documents
from simset_bench.training.run import train_run
from simset_bench.training.run_folder import CONFIG, EVALUATIONS, MANIFEST, read_folder_config

# Another machine, or another batch, changes a float32 log-probability by about this much.
_SAME_SAMPLE = 1e-3
# A log-likelihood in bfloat16, whose products are known to 2^-9 each, changes by a few hundredths.
_COARSE_SAMPLE = 0.05
# Of figures that flip with a token: most that their mean differs by, beside so many standard errors of it.
_ROUNDED, _FLIPS = 0.02, 3


@dataclass(frozen=True)
class Again:
    """One figure of an entry, its interval at 95% (None if unknown), and the figure of the repetition."""

    measure: str
    entry: float
    interval: tuple[float, float] | None
    again: float

    @property
    def within(self) -> bool:
        """Whether the repeated figure is the same, or lies in the entry's interval."""
        if math.isclose(self.entry, self.again, rel_tol=_SAME_SAMPLE, abs_tol=_SAME_SAMPLE):
            return True
        return self.interval is not None and self.interval[0] <= self.again <= self.interval[1]


def recompute_samples(entry: Path, run: Path | None, count: int) -> int:
    """Evaluate the first `count` documents or records of each task of an entry again; returns how many samples it was.

    `run` is the run that the entry came from. Methods that learn nothing (a bare base, none, in-context and retrieval)
    need none. Raises RequestError if a figure differs, or if the run, the corpus or the model is another one.
    """
    with entry_folder(entry) as folder:
        return _recompute(folder, run, count)


def _recompute(entry: Path, run: Path | None, count: int) -> int:
    theirs = _manifest(entry)
    if run is not None and theirs["hashes"] != _run_hashes(run):
        raise RequestError(f"{run}: not the run that {entry} came from (their hashes differ)")
    opened = _opened(entry, run, theirs)
    compared = 0
    results = _results(entry)
    for dtype in dict.fromkeys(result["dtype"] for result in results):
        lm = MemoryLM(load_base(opened.config.model, dtype, opened.config.device), BATCH_SIZE)
        run_again = subject_of(lm, opened)
        run_again = run_again.bare if theirs["kind"] == BASELINE else run_again
        for result in (result for result in results if result["dtype"] == dtype):
            with tempfile.TemporaryDirectory(prefix="simset-bench-") as folder:
                request = _request(result, min(count, result["limit"] or count))
                evaluate_subject(dataclasses.replace(run_again, folder=Path(folder)), request)
                compared += _compare_result(entry, result["stem"], Path(folder), dtype)
    return compared


def _run_hashes(run: Path) -> dict[str, str]:
    try:
        return dict(_manifest(run)["hashes"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RequestError(f"--run {run / MANIFEST}: missing or damaged ({error})") from error


def _opened(entry: Path, run: Path | None, manifest: dict[str, Any]) -> OpenedRun:
    """The run behind an entry; where nothing was learned, the entry's configuration is enough."""
    method = manifest["method"]
    is_base = manifest["kind"] == BASELINE
    if not is_base and find_method(method).learned:
        if run is None:
            raise RequestError(f"--recompute needs --run RUN: method {method} learns, and an entry holds no weights")
        return open_run(run)
    config = _base_config(entry) if is_base else read_folder_config(entry)
    documents = load_documents(config)
    if hash_documents(documents) != manifest["hashes"]["corpus"]:
        raise RequestError(f"{entry}: corpus {config.corpus} is no longer what the entry was made with")
    revision = manifest["hashes"]["model"]
    return OpenedRun(folder=entry, config=config, documents=documents, base_revision=revision)


def _base_config(entry: Path) -> TrainConfig:
    kept = {name: value for name, value in read_config(entry / CONFIG).items() if name in KEPT}
    return make_config(None, **kept)


def _compare_result(entry: Path, stem: str, again: Path, dtype: str) -> int:
    """Compare the samples of a result with those asked again; returns how many these are.

    In float32 every figure must be the same to `_SAME_SAMPLE`; in dtypes that round coarsely, every log-likelihood to
    `_COARSE_SAMPLE`. There the likeliest token changes places with the next where another machine or another batch
    adds in another order, and an answer goes on from it as another text. So the differences of all other measures must
    be within `_ROUNDED` on average, but for what flips in either direction add up to.
    """
    room = _SAME_SAMPLE if dtype == "float32" else _COARSE_SAMPLE
    kept = {question_of(r): r for r in read_samples(entry / EVALUATIONS / f"{stem}{PARQUET}")}
    records = read_samples(again / EVALUATIONS / f"{stem}.samples.jsonl")
    pairs: dict[str, list[tuple[float, float]]] = {}
    for record in records:
        for name, *pair in _figures(entry, stem, kept.get(question_of(record)), record):
            told, value = pair
            if dtype != "float32" and not _is_likelihood(name):
                pairs.setdefault(name, []).append((told, value))
            elif not math.isclose(told, value, rel_tol=room, abs_tol=room):
                raise RequestError(
                    f"{entry}: refused: {name} of sample {record['sample']} in {stem} is {told}, the run gives {value}"
                )
    for name, of_name in pairs.items():
        if not _same_but_for_flips(of_name):
            told, value = (sum(numbers) / len(of_name) for numbers in zip(*of_name, strict=True))
            raise RequestError(
                f"{entry}: refused: {name} of {len(of_name)} samples in {stem} is {told:.6g} on average, the run gives "
                f"{value:.6g}, which rounding in {dtype} does not explain"
            )
    return len(records)


def _figures(
    entry: Path, stem: str, kept: dict[str, Any] | None, record: dict[str, Any]
) -> Iterator[tuple[str, float, float]]:
    """The measures of a sample that are compared: name, the entry's figure, the run's."""
    if kept is None:
        raise RequestError(f"{entry}: refused: {stem} has no sample {record['sample']} as the run gives it")
    probe = PROBES.get(stem.split(".")[0])
    for name, value in record["measures"].items():
        # Floors follow from the pairs of the fine-tuning, and these from all that is asked.
        if (probe and name in probe.set_by_others) or name.startswith(FLOORS):
            continue
        told = kept["measures"].get(name)
        if told is None:
            raise RequestError(
                f"{entry}: refused: sample {record['sample']} in {stem} has no {name}, the run gives {value}"
            )
        yield name, told, value


def _is_likelihood(name: str) -> bool:
    """Whether a measure follows smoothly from log-likelihoods; the fluency of a text is in bits too, and does not."""
    return find_measure(name).unit in (NATS, BITS) and not name.startswith("fluency")


def _same_but_for_flips(pairs: Sequence[tuple[float, float]]) -> bool:
    """Whether the mean of differences is within `_ROUNDED` and `_FLIPS` standard errors of 0, as of flips without a
    direction."""
    differences = [value - told for told, value in pairs]
    largest = max(1.0, max(abs(told) for told, _ in pairs))
    room = _ROUNDED * largest * len(pairs) + _FLIPS * math.hypot(*differences)
    return abs(sum(differences)) <= room


def reproduce(entry: Path, root: Path) -> list[Again]:
    """Train and evaluate an entry's configuration again below `root`, and compare each of its figures.

    Raises RequestError if the corpus or the model has changed.
    """
    with entry_folder(entry) as folder:
        return _reproduced(folder, root)


def _reproduced(entry: Path, root: Path) -> list[Again]:
    manifest = _manifest(entry)
    requests = [_request(result, result["limit"]) for result in _results(entry)]
    if manifest["kind"] == BASELINE:
        about = {name: value for name, value in read_config(entry / CONFIG).items() if name in KEPT}
        device, dtype = about.pop("device"), about.pop("dtype")
        for request in requests:
            results = evaluate_baseline(about, dataclasses.replace(request, device=device, dtype=dtype), root)
        folder = Path(results[0]["run"])
    else:
        folder = _train_again(entry, manifest, root)
        for request in requests:
            evaluate_runs([folder], request)
    now = _manifest(folder)["hashes"]
    made = manifest["hashes"]
    changed = {"model": changed_since(made["model"], now["model"]), "corpus": now["corpus"] != made["corpus"]}
    if differing := [name for name, is_other in changed.items() if is_other]:
        raise RequestError(f"{entry}: {differing[0]} is no longer what the entry was made with (their hashes differ)")
    return [again for result in _results(entry) for again in _compared(entry, folder, result)]


def _train_again(entry: Path, manifest: dict[str, Any], root: Path) -> Path:
    """The folder below `root` of the run of an entry, trained again, after the runs that it continued."""
    config, path, chain = read_folder_config(entry), entry / MANIFEST, chain_of(manifest)
    if any(stage.forgotten for stage in chain):
        raise RequestError(f"{entry}: continues a run that was made to forget documents, which is not reproduced yet")
    folder: Path | None = None
    of_chain = [{name: checked_option(path, name, value) for name, value in stage.config.items()} for stage in chain]
    for each in [*(TrainConfig(**options) for options in of_chain), config]:
        before = None if folder is None else str(folder)
        folder = train_run(dataclasses.replace(each, continued_from=before), root, resume=True)
    assert folder is not None
    for record in manifest.get(FORGOT, []):
        folder = forget(folder, record["documents"], root, record["steps"])
    return folder


def _compared(entry: Path, folder: Path, result: dict[str, Any]) -> list[Again]:
    path = entry / EVALUATIONS / f"{result['stem']}.json"
    repeated = read_object(folder / EVALUATIONS / path.name)
    again = []
    for name, value in result["measures"].items():
        score = score_of(name, [value], [result["standard_errors"][name]], [str(samples_file(path))])
        (known,) = with_evidence([score])
        again.append(Again(f"{result['stem']}/{name}", value, interval(known), float(repeated["measures"][name])))
    return again


def _manifest(folder: Path) -> dict[str, Any]:
    return checked_manifest(read_object(folder / MANIFEST))


def _results(entry: Path) -> list[dict[str, Any]]:
    paths = sorted((entry / EVALUATIONS).glob("[!.]*.json"))
    results = [read_object(path) | {"stem": path.stem} for path in paths]
    # A result after Q-A fine-tuning comes with the one before it.
    tuned = {(each["label"], each["recall"], each["limit"]) for each in results if each["qa_finetuned"]}
    return [
        each for each in results if each["qa_finetuned"] or (each["label"], each["recall"], each["limit"]) not in tuned
    ]


def _request(result: dict[str, Any], limit: int | None) -> EvalRequest:
    task, data = result["task"], result["data"]
    return EvalRequest(
        (task,),
        result["recall"],
        limit,
        data or BUILTIN,
        bool(result["qa_finetuned"]),
        result["dtype"],
        task_data=((task, data),) if data else (),
        control=bool(result.get("control")),
        qa_disjoint=result.get("qa_disjoint") or SUBJECTS,
    )
