"""The Dockerfile against the project that it installs, as far as that shows without a builder."""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def steps() -> list[tuple[str, str]]:
    """Instructions with what follows them, continued lines joined."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    return [tuple(line.split(maxsplit=1)) for line in "\n".join(lines).replace("\\\n", "").splitlines() if line]


def of(steps: list[tuple[str, str]], instruction: str) -> list[str]:
    return [rest for name, rest in steps if name == instruction]


def test_all_that_the_package_is_built_from_is_copied_and_sent(steps: list[tuple[str, str]]) -> None:
    copied = {source for rest in of(steps, "COPY") for source in rest.split()[:-1]}
    assert all((ROOT / source).exists() for source in copied)
    build = PROJECT["tool"]["hatch"]["build"]["targets"]
    needed = {*build["wheel"]["packages"], *build["wheel"]["force-include"], *PROJECT["project"]["license-files"]}
    assert copied >= needed | {"pyproject.toml", PROJECT["project"]["readme"]}
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert sent == copied


def test_versions_are_those_of_the_makefile(steps: list[tuple[str, str]]) -> None:
    made = dict(re.findall(r"^(TORCH|WHEELS) \??= (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE))
    arguments = dict(shlex.split(rest)[0].split("=", 1) for rest in of(steps, "ARG"))
    assert {name: arguments[name] for name in made} == made


def test_the_image_is_pinned_and_has_a_python_that_the_project_takes(steps: list[tuple[str, str]]) -> None:
    (image,) = of(steps, "FROM")
    python = re.fullmatch(r"python:(\d+)\.(\d+)\.\d+-slim-\w+", image)
    assert python, image
    lowest = PROJECT["project"]["requires-python"].removeprefix(">=").split(".")
    assert [int(part) for part in python.groups()] >= [int(part) for part in lowest]


def test_it_runs_the_command_as_a_user_who_is_not_root(steps: list[tuple[str, str]]) -> None:
    assert of(steps, "USER")[-1] not in ("root", "0")
    assert of(steps, "ENTRYPOINT") == ['["simset-bench"]']
    assert "simset-bench" in PROJECT["project"]["scripts"]


def test_the_layer_of_dependencies_has_those_of_the_project(steps: list[tuple[str, str]], tmp_path: Path) -> None:
    """That step is run here up to where it would install them."""
    (step,) = [rest for rest in of(steps, "RUN") if "tomllib" in rest]
    listing, and_install = step.split("&&", 1)
    assert and_install.split() == ["python", "-m", "pip", "install", "--requirement", "requirements.txt"]
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "python").symlink_to(sys.executable)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "EXTRAS": "plots,baselines"}
    subprocess.run(["sh", "-c", listing], cwd=tmp_path, env=environment, check=True)
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = [*PROJECT["project"]["dependencies"], *extras["plots"], *extras["baselines"]]
    assert (tmp_path / "requirements.txt").read_text().splitlines() == wanted
