"""A new method is one file and a record in each of two tables: everything else follows from them."""

import base64
import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

# A process of its own, so that the tables are changed before the commands are imported.
SCRIPT = """
import json, sys
import fixtures.norms_method
from typer.testing import CliRunner
from simset_bench.cli.app import app
outputs = []
for command in json.loads(sys.argv[1]):
    ran = CliRunner().invoke(app, command)
    assert ran.exit_code == 0, ran.output
    outputs.append(ran.stdout)
print(json.dumps(outputs))
"""


def run(*commands: list[object]) -> list[str]:
    """What the commands print where the method exists."""
    tests = Path(__file__).resolve().parents[2]
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps([[str(part) for part in command] for command in commands])],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tests), *sys.path]), "COLUMNS": "400"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return json.loads(ran.stdout.splitlines()[-1])


def data_of(page: Path) -> str:
    packed = re.search(r'id="data">([^<]*)<', page.read_text())
    assert packed is not None
    return gzip.decompress(base64.b64decode(packed.group(1))).decode()


@pytest.mark.slow
def test_a_method_added_to_the_tables_is_in_help_run_sweep_board_and_page(
    tiny_llama: Path, tiny_corpus: Path, tmp_path: Path
) -> None:
    common = {"model": str(tiny_llama), "corpus": f"jsonl:{tiny_corpus}", "num_docs": 2, "epochs": 8, "batch_size": 1}
    config, grid, page = tmp_path / "norms.yaml", tmp_path / "grid.yaml", tmp_path / "page.html"
    config.write_text(yaml.safe_dump(common | {"method": "norms"}))
    grid.write_text(yaml.safe_dump({"axes": {"method": ["norms", "none"]}, "fixed": common}))
    train = ["train", "--config", config, "--save-dir", tmp_path / "outputs", "--json"]
    shown, plan, first, again, _, board = run(
        ["train", "--help"],
        ["sweep", grid, "--save-dir", tmp_path / "sweep", "--dry-run", "--json"],
        train,
        [*train, "--overwrite"],
        ["eval", "--all", tmp_path / "outputs", "--task", "docmem"],
        ["leaderboard", tmp_path / "outputs", "--format", "json", "--html", page],
    )
    # Lines of the help are wrapped within a frame.
    shown = " ".join(shown.replace("│", " ").split())
    assert "norms: the layer norms of the base" in shown
    assert "norms 0.03" in shown
    # Two norms of width 64 in each of four blocks, in float32.
    assert json.loads(plan)["estimate"]["disk_bytes"] == 4 * 2 * 4 * 64
    trained = json.loads(first)
    assert trained["method"] == "norms"
    assert json.loads(again)["hashes"] == trained["hashes"]
    assert set(trained["hashes"]) == {"model", "corpus", "config", "metrics", "norms"}
    losses = [json.loads(line)["cross_entropy"] for line in (Path(trained["run"]) / "metrics.jsonl").open()]
    assert losses[-1] < 0.8 * losses[0]
    asked = json.loads((Path(trained["run"]) / "eval" / "docmem.free.json").read_text())
    assert asked["measures"]["nll"] < losses[0]
    assert '"norms"' in json.dumps(json.loads(board))
    assert '"norms"' in data_of(page)
