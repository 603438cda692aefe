"""What is imported where: training and models run on a bare GPU image, and no command loads what it does not use."""

import gc
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import transformers

from simset_bench.imports import quick_imports

ALLOWED = ("torch", "transformers", "safetensors", "numpy", "pandas", "typer", "rich")

PROBE = '''
import importlib, importlib.metadata, pkgutil, re, sys
from importlib.machinery import PathFinder
allowed = set(sys.argv[1:])
pending = list(allowed)
while pending:
    try:
        requirements = importlib.metadata.requires(pending.pop()) or []
    except importlib.metadata.PackageNotFoundError:
        continue
    for requirement in requirements:
        name = re.match(r"[\\w.-]+", requirement).group().lower().replace("_", "-")
        if "extra ==" not in requirement and name not in allowed:
            allowed.add(name)
            pending.append(name)
owners = importlib.metadata.packages_distributions()

class BareImage:
    """Finds modules on the path as usual, but for those of packages that a bare image lacks."""

    find_distributions = staticmethod(lambda *context: PathFinder.find_distributions(*context))

    def find_spec(self, name, path=None, target=None):
        found = [owner.lower().replace("_", "-") for owner in owners.get(name.split(".")[0], [])]
        if found and not allowed.intersection(found) and "simset-bench" not in found:
            return None
        return PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = BareImage()
import simset_bench.models, simset_bench.training
for package in (simset_bench.models, simset_bench.training):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
'''


@pytest.mark.slow
def test_training_and_models_import_without_the_libraries_of_evaluation_and_corpora():
    ran = subprocess.run([sys.executable, "-c", PROBE, *ALLOWED], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]


def test_that_image_lacks_the_other_libraries():
    ran = subprocess.run([sys.executable, "-c", PROBE + "\nimport peft", *ALLOWED], capture_output=True, text=True)
    assert "No module named 'peft'" in ran.stderr


COMMAND = """
import sys
from simset_bench.__main__ import main
unused = set(sys.argv.pop(1).split(","))
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
print("loaded:", *sorted(unused & set(sys.modules)))
"""
OF_MODELS = ("torch", "transformers", "lm_eval", "datasets")
OF_PLOTS = ("altair", "vl_convert", "jinja2")
HEAVY = ("nltk", "sqlalchemy", "pint", "daft", "ray", "peft", "sklearn")


def loaded_by(arguments: list[str | Path], unused: tuple[str, ...]) -> list[str]:
    """The modules among `unused` that a command loads; it must succeed."""
    command = [sys.executable, "-c", COMMAND, ",".join(unused), *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
    return ran.stdout.splitlines()[-1].split()[1:]


@pytest.mark.parametrize("name", ["leaderboard", "show", "compare"])
def test_commands_on_results_load_no_model_and_no_plot(name: str, write_run: Callable[..., Path]) -> None:
    one, other = (
        write_run({"docmem": {"nll": [0.1, 0.2, value, 0.4]}}, seed=seed) for seed, value in enumerate([1, 2])
    )
    arguments = {"leaderboard": [one.parent], "show": [one], "compare": [one, other]}[name]
    assert loaded_by([name, *arguments], (*OF_MODELS, *OF_PLOTS, *HEAVY, "scipy.stats")) == []


def test_analyze_loads_no_model_and_no_plot(run_of_method: Callable[[str], Path]) -> None:
    assert loaded_by(["analyze", run_of_method("memory")], (*OF_MODELS, *OF_PLOTS, *HEAVY)) == []


def test_eval_loads_what_it_asks_with(run_of_method: Callable[[str], Path]) -> None:
    asked = ["eval", run_of_method("memory"), "--task", "docmem,counterfact", "--limit", "1"]
    # What transformers before 5 loads for itself to generate.
    of_generation = ("sklearn", "scipy.stats") if int(transformers.__version__.split(".")[0]) < 5 else ()
    all_unused = (*HEAVY, "altair", "vl_convert", "duckdb", "scipy.stats", "rouge_score", "mendeleev")
    unused = tuple(name for name in all_unused if name not in of_generation)
    assert loaded_by(asked, unused) == []


def test_a_command_that_loads_a_library_is_told_from_one_that_does_not() -> None:
    assert loaded_by(["--version"], ("typer", "torch")) == ["typer"]


def test_garbage_is_looked_for_again_after_imports() -> None:
    with pytest.raises(ModuleNotFoundError), quick_imports():
        assert not gc.isenabled()
        import simset_bench.no_such_module  # noqa: F401
    assert gc.isenabled()
