"""Python in a model's folder is never run."""

import ast
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fixtures.warm import Warm

PACKAGE = Path(__file__).resolve().parents[2] / "simset_bench"
# Methods of transformers' Auto classes that look for code in a repository.
LOADERS = ("from_pretrained", "from_config")


def loading_calls() -> Iterator[tuple[str, ast.Call]]:
    """Each call of a loader of an `Auto...` class in the package, and where it is."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LOADERS:
                owner = node.func.value
                if isinstance(owner, ast.Name) and owner.id.startswith("Auto"):
                    yield f"{path.relative_to(PACKAGE)}:{node.lineno}", node


def test_every_load_of_a_model_refuses_code_of_its_own() -> None:
    calls = dict(loading_calls())
    assert len(calls) >= 8
    for place, call in calls.items():
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        assert given.get("trust_remote_code") == "False", place


def with_code(folder: Path, where: str) -> None:
    """Let a model's configuration or tokenizer name classes of `own.py`, which writes a file when it is imported."""
    (folder / "own.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\n", encoding="utf-8")
    if where == "configuration":
        changed = {"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.OwnLM"}}
        path = folder / "config.json"
    else:
        changed = {"tokenizer_class": "OwnTokenizer", "auto_map": {"AutoTokenizer": ["own.OwnTokenizer", None]}}
        path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changed), encoding="utf-8")


@pytest.mark.parametrize("where", ["configuration", "tokenizer"])
@pytest.mark.parametrize("command", ["train", "eval"])
def test_yes_on_standard_input_is_no_leave_to_run_it(
    tiny_llama: Path, tiny_corpus: Path, tmp_path: Path, warm: Warm, command: str, where: str
) -> None:
    folder = Path(shutil.copytree(tiny_llama, tmp_path / "model"))
    with_code(folder, where)
    options = ["--baseline", "--task", "docmem"] if command == "eval" else ["--epochs", "1"]
    options += ["--model", str(folder), "--corpus", f"jsonl:{tiny_corpus}", "--num-docs", "2"]
    options += ["--save-dir", str(tmp_path / "out")]
    done = warm.run("-m", "simset_bench", command, *options, given="y\n" * 9)
    assert done.returncode == 2, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "error" in line]
    assert str(folder) in line
    assert "code of its own" in line
    assert "Traceback" not in done.stderr
    assert not (folder / "ran").exists()
    assert not (tmp_path / "out").exists()
