"""Baselines: the untouched base on the same tasks, kept in folders of their own."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from simset_bench.evaluation.run import EvalRequest, Subject, check_request, evaluate_subjects
from simset_bench.files import write_json, write_text
from simset_bench.models.loading import load_base
from simset_bench.training.config import TrainConfig, config_text, make_config
from simset_bench.training.manifest import SCHEMA, git_commit, machine, versions
from simset_bench.training.run import hash_documents, load_documents
from simset_bench.training.run_folder import CONFIG, MANIFEST, open_finished

# Options that say which documents a base is asked about; the others are those of a memory, which it has not.
_KEPT = ("model", "corpus", "num_docs", "group_by", "match_subjects", "max_tokens", "dtype", "device")


def evaluate_baseline(about: dict[str, Any], request: EvalRequest, root: Path) -> list[dict[str, Any]]:
    """Evaluate the untouched base that `about` names, on the documents that it names."""
    check_request(request, baseline=True)
    config = make_config(None, **about, device=request.device, dtype=request.dtype)
    return evaluate_subjects([_subject(config, root)], request)


def evaluate_baselines_of(runs: Sequence[Path], request: EvalRequest, root: Path) -> list[dict[str, Any]]:
    """Evaluate the untouched bases of finished runs on the runs' documents; equal ones once."""
    check_request(request, baseline=True)
    subjects = {}
    for folder in runs:
        config = open_finished(folder).config
        subject = _subject(make_config(None, **{name: getattr(config, name) for name in _KEPT}), root)
        subjects[subject.folder] = subject
    return evaluate_subjects(list(subjects.values()), request)


def _subject(config: TrainConfig, root: Path) -> Subject:
    base = load_base(config.model, config.dtype, config.device)
    documents = load_documents(config)
    config = dataclasses.replace(
        config,
        num_docs=len(documents),
        num_clusters=len(documents),
        dtype=str(base.dtype).removeprefix("torch."),
        device=str(base.device),
    )
    kept = {name: getattr(config, name) for name in _KEPT}
    key = hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:12]
    folder = root / "baselines" / f"lm_{base.name}" / f"docs_{len(documents)}_{key}"
    write_text(folder / CONFIG, config_text(config, _KEPT))
    hashes = {"model": base.revision, "corpus": hash_documents(documents), "config": key}
    made = {"schema": SCHEMA, "kind": "baseline", "model": base.name, "documents": len(documents)}
    made |= {"versions": versions(), "git_commit": git_commit(), "hashes": hashes, **machine(base.device)}
    write_json(folder / MANIFEST, made)
    return Subject(folder, config, documents, None)
