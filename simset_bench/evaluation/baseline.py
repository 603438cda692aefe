"""Baselines: the untouched base on the same tasks, kept in folders of their own."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from simset_bench.corpora.documents import Document, hash_documents
from simset_bench.errors import RequestError
from simset_bench.evaluation.harness import check_foreign_tasks
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.request import EvalRequest, check_request
from simset_bench.evaluation.result_files import Result
from simset_bench.evaluation.run import evaluate_subjects, on_shared_bases
from simset_bench.evaluation.subject import Subject
from simset_bench.files import write_json, write_text
from simset_bench.models.revision import changed_since
from simset_bench.models.sources import find_model
from simset_bench.strict_json import read_object
from simset_bench.training.config import TrainConfig, config_text, make_config
from simset_bench.training.manifest import SCHEMA, git_commit, machine, versions
from simset_bench.training.prepare import load_documents
from simset_bench.training.run_folder import CONFIG, MANIFEST, open_anywhere

# Options that say which documents a base is asked about; the others are those of a memory.
KEPT = ("model", "corpus", "num_docs", "group_by", "match_subjects", "max_tokens", "dtype", "device")


def evaluate_baseline(about: dict[str, Any], request: EvalRequest, root: Path) -> list[Result]:
    """Evaluate the untouched base that `about` names, on the documents that it names."""
    check_request(request, baseline=True)
    return _evaluate([make_config(None, **about, device=request.device, dtype=request.dtype)], request, root)


def evaluate_baselines_of(runs: Sequence[Path], request: EvalRequest, root: Path) -> list[Result]:
    """Evaluate the untouched bases of finished runs on the runs' documents; equal ones once."""
    check_request(request, baseline=True)
    configs = [open_anywhere(folder).config for folder in runs]
    for folder, config in zip(runs, configs, strict=True):
        if config.continued_from is not None:
            raise RequestError(
                f"{folder}: was continued, and a baseline is asked about one corpus: ask the run with --control, which "
                "asks its base the same"
            )
    kept = [make_config(None, **{name: getattr(config, name) for name in KEPT}) for config in configs]
    return _evaluate(list(dict.fromkeys(kept)), request, root)


def _evaluate(configs: Sequence[TrainConfig], request: EvalRequest, root: Path) -> list[Result]:
    # A wrong request is refused before a model is loaded.
    check_foreign_tasks(request.tasks, request.include_path)
    for config in configs:
        find_model(config.model)
    documents = [load_documents(config) for config in configs]

    def evaluate(lm: MemoryLM, numbers: Sequence[int]) -> Iterator[list[Result]]:
        subjects = [_subject(lm, configs[number], documents[number], root) for number in numbers]
        for subject, results in zip(subjects, evaluate_subjects(subjects, [request] * len(subjects)), strict=True):
            _write_folder(subject)
            yield results

    return on_shared_bases(configs, request, evaluate)


def _subject(lm: MemoryLM, config: TrainConfig, documents: list[Document], root: Path) -> Subject:
    base = lm.base
    dtype = str(base.dtype).removeprefix("torch.")
    config = dataclasses.replace(config, num_docs=len(documents), dtype=dtype, device=str(base.device))
    folder = root / "baselines" / f"lm_{base.name}" / f"docs_{len(documents)}_{_key(config)}"
    _check_earlier_results(folder, base.revision, documents)
    return Subject(lm, config, documents, None, folder)


def _check_earlier_results(folder: Path, revision: str, documents: Sequence[Document]) -> None:
    """Raise RequestError where a folder holds results of another base or on other documents, of the same names."""
    try:
        hashes = read_object(folder / MANIFEST)["hashes"]
        changed = changed_since(hashes["model"], revision)
        if changed is None and hashes["corpus"] != hash_documents(documents):
            changed = "its documents"
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        # Without a manifest that can be read, nothing counts as evaluated.
        return
    if changed:
        raise RequestError(
            f"{folder}: holds results of the base as it was ({changed} changed since): remove this folder, or name "
            "another with --save-dir"
        )


def _key(config: TrainConfig) -> str:
    kept = {name: getattr(config, name) for name in KEPT}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:12]


def _write_folder(subject: Subject) -> None:
    """Written after the results: a folder with a manifest holds a finished evaluation."""
    base = subject.lm.base
    write_text(subject.folder / CONFIG, config_text(subject.config, KEPT))
    hashes = {"model": base.revision, "corpus": hash_documents(subject.documents), "config": _key(subject.config)}
    manifest = {
        "schema": SCHEMA,
        "kind": "baseline",
        "method": None,
        "model": base.name,
        "documents": len(subject.documents),
    }
    manifest |= {"versions": versions(), "git_commit": git_commit(), "hashes": hashes, **machine(base.device)}
    write_json(subject.folder / MANIFEST, manifest)
