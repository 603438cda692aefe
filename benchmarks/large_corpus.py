"""From a large corpus to located memories: allocate 100,000 documents, train on a stream of them, measure location.

    python benchmarks/large_corpus.py --output benchmarks/large_corpus.json

Documents are a few sentences of the `vital` corpus each, drawn by a fixed seed (see `allocation.py`). `--documents` are
allocated, of which the first `--stream` are memorised, and location is measured on the first `--sample` of those.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from allocation import write_corpus

from simset_bench.corpora.load import CorpusOptions
from simset_bench.evaluation.request import EvalRequest
from simset_bench.evaluation.run import evaluate_runs
from simset_bench.simset.allocate_to_file import allocate_to_file
from simset_bench.simset.large.allocate import AllocationRequest
from simset_bench.training.config import make_config
from simset_bench.training.run import summary, train_run

WORDS, ENTRIES, ENTRIES_PER_DOC = 60, 2048, 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--layer", default="0.9")
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--stream", type=int, default=2000)
    parser.add_argument("--sample", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--alpha", type=float, default=1.0)
    parser.add_argument("--folder", type=Path, help="where corpus, allocation and run are kept [a temporary folder]")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        found = run(chosen, chosen.folder or Path(scratch))
    print(json.dumps(found, indent=2))
    if chosen.output:
        chosen.output.write_text(json.dumps(found, indent=2) + "\n")


def run(chosen: argparse.Namespace, folder: Path) -> dict[str, object]:
    """The three steps; returns what each took and gave."""
    folder.mkdir(parents=True, exist_ok=True)
    corpus, allocation = folder / "corpus.parquet", folder / "allocation.parquet"
    if not corpus.is_file():
        write_corpus(chosen.documents, corpus, words=WORDS)
    options = CorpusOptions(f"parquet:{corpus}")
    started = time.monotonic()
    if not allocation.is_file():
        allocate_to_file(AllocationRequest(options, "simset2", ENTRIES, ENTRIES_PER_DOC, 0), allocation, "daft")
    allocated = time.monotonic()
    trained_on = {"num_docs": chosen.stream, "epochs": chosen.epochs, "alpha": chosen.alpha, "batch_size": 16}
    config = make_config(
        None, model=chosen.model, layer=chosen.layer, allocation=str(allocation), shuffle_buffer=512, **trained_on
    )
    trained = train_run(config, folder / "outputs", resume=True)
    memorised = time.monotonic()
    located = evaluate_runs([trained], EvalRequest(("location",), limit=chosen.sample))[0]
    made = summary(trained)
    return {
        "model": chosen.model,
        "layer": chosen.layer,
        "documents_allocated": chosen.documents,
        "documents_streamed": made["documents"],
        "segments": made["segments"],
        "steps": made["steps"],
        "prefix_cache": made["prefix_cache"],
        "seconds": {
            "allocate": round(allocated - started, 1),
            "train": round(made["wall_seconds"], 1),
            "evaluate": round(time.monotonic() - memorised, 1),
        },
        "train_peak_bytes": made["peak_bytes"],
        "final": made["final"],
        "location": {
            name: {"value": value, "standard_error": located["standard_errors"][name], "n": located["n"][name]}
            for name, value in located["measures"].items()
        },
    }


if __name__ == "__main__":
    main()
