"""How long it takes to read thousands of runs, and to rank them: on made-up run folders, by CPU time.

python benchmarks/leaderboard.py --runs 2000
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml

from simset_bench.leaderboard.table import make_leaderboard
from simset_bench.results.read import read_runs

ALLOCATIONS = ("none", "random", "partitioned", "simset1", "simset2", "simset3")
ALPHAS = (0.0, 0.2, 1.0, 5.0)
TASKS = {"docmem": ("nll", "exact_match"), "location": ("on_share", "erasure_own"), "doccloze": ("truth_preference",)}


def write_runs(root: Path, count: int, documents: int = 16, seeds: int = 3) -> None:
    """Write `count` run folders as training and evaluation leave them, without their memories."""
    generator = np.random.default_rng(0)
    for number in range(count):
        cell, seed = divmod(number, seeds)
        place, alpha = divmod(cell, len(ALPHAS))
        layer, allocation = divmod(place, len(ALLOCATIONS))
        config = {"model": "m", "corpus": "vital", "layer": layer, "num_docs": documents, "num_clusters": documents}
        config |= {"allocation": ALLOCATIONS[allocation], "alpha": ALPHAS[alpha], "mem_seed": seed, "seed": 0}
        folder = root / f"run_{number:05}"
        (folder / "eval").mkdir(parents=True)
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        hashes = {"model": "h", "corpus": "h", "memory": str(number), "config": str(number)}
        manifest = {"schema": 1, "kind": "train", "model": "m", "hashes": hashes}
        (folder / "manifest.json").write_text(json.dumps(manifest))
        for task, measures in TASKS.items():
            # Rows differ, seeds of one row do not, and all values are such as shares have.
            middle = 0.2 + 0.6 * (cell * 0.618 % 1)
            found = np.clip(generator.normal(middle, 0.1, (len(measures), documents)), 0, 1)
            _write_result(folder / "eval", task, measures, found)


def _write_result(folder: Path, task: str, measures: tuple[str, ...], found: np.ndarray) -> None:
    result = {"schema": 1, "task": task, "label": task, "recall": "free", "qa_finetuned": False, "limit": None}
    result |= {"measures": dict(zip(measures, found.mean(1).tolist(), strict=True)), "higher_is_better": {}}
    result |= {"standard_errors": dict.fromkeys(measures, 0.02), "n": dict.fromkeys(measures, found.shape[1])}
    (folder / f"{task}.free.json").write_text(json.dumps(result))
    lines = []
    for document, values in enumerate(found.T.tolist()):
        record = {"document": f"d{document}", "sample": f"d{document}#0", "cluster": f"d{document}"}
        record |= {"measures": dict(zip(measures, values, strict=True)), "prompt_hash": f"p{document}"}
        lines.append(json.dumps(record | {"target_hash": "t", "tokens": 90, "responses": ["a word " * 20]}))
    (folder / f"{task}.free.samples.jsonl").write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    count = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        write_runs(Path(folder), count)
        started = time.process_time()
        table = read_runs([Path(folder)])
        read = time.process_time()
        board = make_leaderboard(table)
        ranked = time.process_time()
    print(f"{len(table.runs)} runs, {len(table.values)} scores read in {read - started:.1f} s of CPU")
    print(f"{len(board.rows)} rows with intervals and ranks in {ranked - read:.1f} s of CPU")


if __name__ == "__main__":
    main()
