"""Trials behind the defaults of `simset-bench train`: each option moved alone, on the default model and corpus.

    python benchmarks/defaults.py --save-dir outputs/defaults --epochs 40

prints a Markdown table: one row a trial, with what it costs and what it gives. Trials that are already there are kept,
so that an interrupted call goes on. `docs/decisions/0002-defaults.md` has the table of one such call.
"""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from simset_bench.evaluation.request import EvalRequest
from simset_bench.evaluation.run import evaluate_runs
from simset_bench.training.config import TrainConfig
from simset_bench.training.run import summary, train_run

TRIALS: tuple[dict[str, Any], ...] = (
    {},
    {"lr": 1e-3},
    {"lr": 4e-3},
    {"batch_size": 4},
    {"layer": 0.5},
    {"layer": 0.9},
    {"inductive_form": "ratio"},
    {"alpha": 0.2},
    {"alpha": 5.0},
    {"entries_per_doc": 16},
    {"entries_per_doc": 64},
    {"entries": 2048},
    {"warmup": 0.1},
    {"weight_decay": 0.1},
    {"layer_norm": True},
    {"gate": True},
    {"activation": "gelu"},
)
MEASURES = ("nll_free", "on_share", "attribution_at_1", "specificity")


def _row(trial: dict[str, Any], folder: Path) -> str:
    made = summary(folder)
    request = EvalRequest(("location", "damage"))
    found = {result["task"]: result["measures"] for result in evaluate_runs([folder], request)}
    figures = [f"{found['location'][name]:.3f}" for name in MEASURES]
    damage = found["damage"]["nll"] - found["damage"]["nll_base"]
    name = ", ".join(f"{option} {value}" for option, value in trial.items()) or "the defaults"
    return "| " + " | ".join([name, *figures, f"{damage:.2f}", f"{made['wall_seconds']:.0f}"]) + " |"


def main(
    save_dir: Annotated[Path, typer.Option(help="Folder for the trials' runs.")] = Path("outputs/defaults"),
    epochs: Annotated[int, typer.Option(help="Passes over the documents.")] = TrainConfig().epochs,
    num_docs: Annotated[int, typer.Option(help="Documents memorised.")] = 16,
) -> None:
    """Run every trial and print its row."""
    print("| trial | " + " | ".join(MEASURES) + " | damage, nats a token | seconds |")
    print("|" + " --- |" * (len(MEASURES) + 3))
    for number, trial in enumerate(TRIALS):
        config = dataclasses.replace(TrainConfig(epochs=epochs, num_docs=num_docs), **trial)
        folder = train_run(config, save_dir / f"trial_{number:02d}", resume=True)
        print(_row(trial, folder), flush=True)


if __name__ == "__main__":
    typer.run(main)
