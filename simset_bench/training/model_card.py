"""The card of a run for the hub: what it is, what it was asked and what it answered, in words and for machines.

`README.md` has the metadata that the hub reads from model cards, `.eval_results/*.yaml` the hub's own form of results
(https://huggingface.co/docs/hub/eval-results), for results on data sets of the hub alone: the form has no others.
"""

import dataclasses
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from simset_bench.errors import RequestError
from simset_bench.files import write_text
from simset_bench.models.presets import PRESETS, SMOLLM2_ON_HUB
from simset_bench.models.sources import find_model
from simset_bench.package import VERSION
from simset_bench.strict_json import is_number, read_object
from simset_bench.training import run_folder as folders
from simset_bench.training.chain import all_corpora
from simset_bench.training.config import TrainConfig, options_of
from simset_bench.training.method_options import MEMORY

README, EVAL_RESULTS = "README.md", ".eval_results"
# By it a card that nobody has changed by hand is known.
MARK = "<!-- Written by simset-bench; without this line it is left as it is. -->"
_ON_HUB = re.compile(r"(?:^|:)hub:([\w.-]+/[\w.-]+)")
# Between the corpora of a run that was continued.
_AND = " + "
Result = dict[str, Any]


def write_card(run: Path, config: TrainConfig, target: Path, *, tags: Sequence[str] = (), figures: bool = True) -> None:
    """Write the card of the finished run in a folder, and the hub's results, into folder `target`.

    `figures` False leaves out the results, which are of the run as it was evaluated. A README.md without `MARK` was
    written by somebody else, and is left as it is; of the results those of this run are written anew.
    """
    results = list(_results(run)) if figures else []
    manifest = folders.read_manifest(run)
    # Figures are about the documents of all corpora that a run that was continued has memorised.
    config = dataclasses.replace(config, corpus=_AND.join(all_corpora(manifest, config.corpus)))
    readme = target / README
    if not readme.exists() or MARK in readme.read_text(encoding="utf-8", errors="replace"):
        write_text(readme, _card(config, manifest, results, tags))
    for result in results:
        if entries := _hub_entries(result, config):
            name = re.sub(r"[^A-Za-z0-9_.@-]", "-", _asked(result))
            write_text(target / EVAL_RESULTS / f"{name}.yaml", yaml.safe_dump(entries, sort_keys=False))


def _results(run: Path) -> Iterator[Result]:
    """The run's results; a damaged one is passed over, and `verify` says so of an entry."""
    for path in sorted((run / folders.EVALUATIONS).glob("[!.]*.json")):
        try:
            result = read_object(path)
        except (OSError, ValueError):
            continue
        if all(isinstance(result.get(name), dict) for name in ("measures", "standard_errors", "n")):
            yield result | {
                name: {measure: value for measure, value in result[name].items() if is_number(value)}
                for name in ("measures", "standard_errors", "n")
            }


def _asked(result: Result) -> str:
    """What a result is of: the task with its data, the recall mode unless free, and the fine-tuning before it."""
    recall = "" if result.get("recall") == "free" else f"@{result.get('recall')}"
    return f"{result.get('label')}{recall}{'+qa' if result.get('qa_finetuned') else ''}"


def base_on_hub(model: str) -> str | None:
    """The hub's id of a base by its name in a configuration; None for a model that is only here."""
    if model in PRESETS and PRESETS[model].source == "wheel":
        return SMOLLM2_ON_HUB
    try:
        return find_model(model).repository
    except RequestError:
        return None


def data_on_hub(result: Result, config: TrainConfig) -> str | None:
    """The hub's data set that a result's samples are from; None where they are from elsewhere."""
    data = result.get("data")
    source = config.corpus if data in (None, "corpus") else str(data)
    match = _ON_HUB.search(source)
    return match[1] if match and _AND not in source else None


def _metadata(config: TrainConfig, results: Sequence[Result], tags: Sequence[str], name: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {"library_name": "simset-bench", "pipeline_tag": "text-generation"}
    if base := base_on_hub(config.model):
        metadata |= {"base_model": base, "base_model_relation": "adapter"}
    # What is learned holds the documents' text, so no licence of ours can be put on it.
    metadata |= {"license": "other", "license_name": "as-the-base-and-the-documents"}
    if on_hub := [match[1] for each in config.corpus.split(_AND) if (match := _ON_HUB.search(each))]:
        metadata["datasets"] = on_hub
    structure = [config.allocation] if config.method == MEMORY and config.allocation_file is None else []
    metadata["tags"] = list(dict.fromkeys(["simset-bench", config.method, *structure, *tags]))
    if results:
        metadata["model-index"] = [{"name": name, "results": [_indexed(result, config) for result in results]}]
    return metadata


def _indexed(result: Result, config: TrainConfig) -> dict[str, Any]:
    """A result in the form of a card's `model-index`."""
    data = result.get("data")
    source = config.corpus if data in (None, "corpus") else str(data)
    return {
        "task": {"type": "text-generation", "name": _asked(result)},
        "dataset": {"type": data_on_hub(result, config) or source.partition(":")[0], "name": source},
        "metrics": [{"type": name, "name": name, "value": value} for name, value in result["measures"].items()],
    }


def _hub_entries(result: Result, config: TrainConfig) -> list[dict[str, Any]]:
    data = data_on_hub(result, config)
    if data is None:
        return []
    return [
        {
            "dataset": {"id": data, "task_id": f"{_asked(result)}/{name}"},
            "value": value,
            "notes": f"simset-bench {VERSION}, {_uncertainty(result, name)}",
        }
        for name, value in result["measures"].items()
    ]


def _uncertainty(result: Result, name: str) -> str:
    error = result["standard_errors"].get(name)
    given = "no standard error" if error is None else f"standard error {error:.3g}"
    return f"{given}, {result['n'].get(name)} samples"


def _card(config: TrainConfig, manifest: dict[str, Any], results: Sequence[Result], tags: Sequence[str]) -> str:
    name = f"{manifest.get('model')}, {config.method} on {manifest.get('documents')} documents"
    metadata = yaml.safe_dump(_metadata(config, results, tags, name), sort_keys=False, allow_unicode=True)
    given = {key: str(value) for key, value in options_of(config).items() if value is not None}
    options = "\n".join(f"| {key} | {value} |".replace("\n", " ") for key, value in given.items())
    return f"""---
{metadata}---
{MARK}

# {name}

What `simset-bench train --method {config.method}` learned from documents of `{config.corpus}` for the model
`{config.model}`, whose own weights are needed beside it. It is an instrument for experiments on where a language
model keeps facts, and it can give its documents back word for word.
{_how_to_load(config)}
| option | value |
| --- | --- |
{options}

{_figures(results)}
Its licence is that of the base and of the documents, whose text it holds.
"""


def _how_to_load(config: TrainConfig) -> str:
    if config.method != MEMORY:
        return ""
    return """
```python
from simset_bench import MemoryModel

model = MemoryModel.from_pretrained("this repository or its folder")
```
"""


def _figures(results: Sequence[Result]) -> str:
    if not results:
        return "It was not evaluated as it is.\n"
    rows = "\n".join(
        f"| {_asked(result)}/{name} | {value:.4g} | {_uncertainty(result, name)} |"
        for result in results
        for name, value in result["measures"].items()
    )
    return f"""| measure | value | of |
| --- | --- | --- |
{rows}

Every measure is defined in simset-bench's `docs/measures.md`; `@` names the recall mode where it is not `free`, and
errors are clustered by document.
"""
