"""What may be imported where: training and models stand on few libraries, so that they run on a bare GPU image."""

import subprocess
import sys

import pytest

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
