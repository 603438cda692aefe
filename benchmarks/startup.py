"""What a command costs before it does its work: processor time of whole commands on runs of a tiny model.

    python benchmarks/startup.py                        # a minute: ten runs of a model of 4 x 64, then each command
    python benchmarks/startup.py --before ../earlier    # beside another checkout of the code, in turns

prints a Markdown table. The model, its documents and its one question are so small that nearly all of the time is
start-up. Each command runs as a process of its own with one thread; a figure is the median of the repeats after one
that fills Python's cache of compiled modules.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from transformers import AutoModelForCausalLM

from simset_bench.console import be_quiet
from simset_bench.evaluation.request import EvalRequest
from simset_bench.evaluation.run import evaluate_runs
from simset_bench.models.loading import load_base
from simset_bench.models.random_base import llama_shape
from simset_bench.training.config import make_config
from simset_bench.training.prepare import load_documents
from simset_bench.training.run import train_run
from simset_bench.training.world.model import new_tokenizer

HERE = Path(__file__).resolve().parents[1]
DOCUMENTS, VOCABULARY = 10, 400


def make_runs(folder: Path, outputs: Path, count: int) -> list[Path]:
    """`count` runs with three results each, and one more that nothing was asked."""
    model = folder / "model"
    options = {"model": str(model), "corpus": f"people:count={DOCUMENTS}", "num_docs": DOCUMENTS, "device": "cpu"}
    options |= {"dtype": "float32", "layer": 2, "entries": 64, "entries_per_doc": 8, "epochs": 2, "beta": 0.0}
    texts = [document.text for document in load_documents(make_config(None, **options))]
    tokenizer = new_tokenizer(texts, VOCABULARY)
    AutoModelForCausalLM.from_config(llama_shape(4, 64, len(tokenizer))).save_pretrained(model)
    tokenizer.save_pretrained(model)
    base = load_base(str(model), "float32", "cpu")
    configs = [make_config(None, **options, seed=seed, mem_seed=seed, alpha=1.0) for seed in range(count + 1)]
    runs = [train_run(config, outputs, base=base) for config in configs]
    evaluate_runs(runs[:count], EvalRequest(("docmem", "doccloze", "location")))
    return runs


def commands_on(runs: list[Path], outputs: Path) -> list[tuple[str, list[str]]]:
    """What is shown of each command, and Python's arguments; the last run is the one that nothing was asked."""
    *asked, new = map(str, runs)
    commands = [
        ("--help", ["--help"]),
        ("eval RUN --task docmem --limit 1", ["eval", new, "--task", "docmem", "--limit", "1"]),
        ("eval RUN --task counterfact --limit 1", ["eval", new, "--task", "counterfact", "--limit", "1"]),
        ("leaderboard", ["leaderboard", str(outputs)]),
        ("show RUN", ["show", asked[0]]),
        ("compare RUN RUN", ["compare", *asked[:2]]),
        ("analyze RUN", ["analyze", asked[0]]),
    ]
    alone = f"import transformers; transformers.AutoModelForCausalLM.from_pretrained({str(outputs.parent / 'model')!r})"
    shown = [(f"`{name}`", ["-m", "simset_bench", *arguments]) for name, arguments in commands]
    return [*shown, ("transformers alone: load the same model", ["-c", alone])]


def processor_seconds(code: Path, arguments: list[str]) -> float:
    """Processor time of one command of the code in a folder, its own and that of its children."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment = kept | {"PYTHONPATH": str(code), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    # -P, since the working folder would come before the code that is meant.
    command = [sys.executable, "-P", *arguments]
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        _, status, used = os.wait4(process.pid, 0)
        if status:
            output.seek(0)
            sys.exit(f"{' '.join(command)} failed:\n{output.read().decode()[-2000:]}")
    return used.ru_utime + used.ru_stime


def main(
    runs: Annotated[int, typer.Option(min=2, help="Runs to rank, show and compare.")] = 10,
    repeats: Annotated[int, typer.Option(min=1, help="How often each command is run.")] = 3,
    before: Annotated[Path | None, typer.Option(help="Another checkout of the code, for ratios.")] = None,
) -> None:
    be_quiet(True)
    codes = [HERE] if before is None else [HERE, before.resolve()]
    head = ["command", "processor s", *(["before", "ratio"] if before else [])]
    print(f"| {' | '.join(head)} |\n| {' | '.join('---' for _ in head)} |")
    with tempfile.TemporaryDirectory() as folder:
        outputs = Path(folder, "outputs")
        for name, arguments in commands_on(make_runs(Path(folder), outputs, runs), outputs):
            taken: dict[Path, list[float]] = {code: [] for code in codes}
            for _ in range(repeats + 1):
                for code in codes:
                    taken[code].append(processor_seconds(code, arguments))
            now, *earlier = (statistics.median(taken[code][1:]) for code in codes)
            row = [name, f"{now:.2f}", *(f"{each:.2f}" for each in earlier)]
            print(f"| {' | '.join([*row, *(f'{each / now:.2f}x' for each in earlier)])} |", flush=True)


if __name__ == "__main__":
    typer.run(main)
