"""What we take from lm-eval lies in one module, and what that module builds on is there."""

import ast
import inspect
from pathlib import Path

import pytest
from lm_eval.models.huggingface import HFLM

from simset_bench import package
from simset_bench.evaluation.lm_eval_internals import StockLM


def modules_imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


def test_no_other_module_imports_lm_eval() -> None:
    importers = [
        path.relative_to(package.FOLDER).as_posix()
        for path in package.FOLDER.rglob("*.py")
        if any(name.split(".")[0] == "lm_eval" for name in modules_imported(path))
    ]
    assert importers == ["evaluation/lm_eval_internals.py"]


@pytest.mark.parametrize("name", ["_encode_pair", "_loglikelihood_tokens", "_model_call", "_model_generate"])
def test_lm_eval_has_each_step_that_we_change_with_the_arguments_that_we_take(name: str) -> None:
    theirs, ours = (inspect.signature(getattr(kind, name)).parameters for kind in (HFLM, StockLM))
    named = [each for each, parameter in ours.items() if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    assert list(theirs)[: len(named)] == named
