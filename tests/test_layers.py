"""Imports point one way, and no modules import each other in a circle."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "simset_bench"
# A module imports from its own room and from those before it. Rooms of one line do not import each other.
ORDER: tuple[tuple[str, ...], ...] = (
    ("errors", "package", "imports"),
    ("files", "console", "ray", "strict_json"),
    ("corpora", "models"),
    ("simset",),
    ("training",),
    ("evaluation",),
    ("results",),
    ("leaderboard",),
    ("api",),
    ("cli",),
    ("__init__", "__main__"),
)
# Where the modules lie that `late` of `simset_bench/evaluation/late.py` names.
LATE = "simset_bench.evaluation"
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}


def modules_of(package: Path) -> dict[str, Path]:
    """Every module below `package`, by its dotted name; a folder's `__init__` has the folder's name."""
    names = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def imports_of(name: str, path: Path, modules: dict[str, Path]) -> set[str]:
    """The modules among `modules` that one of them imports, anywhere in it.

    Imports within a function and those for types count too, and `late("module", "function")`, as the tables of tasks
    and probes write it for a module below `simset_bench.evaluation`.
    """
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in modules}
        elif isinstance(node, ast.ImportFrom):
            above = (name if path.name == "__init__.py" else name.rpartition(".")[0]).split(".")
            start = ".".join(above[: len(above) - node.level + 1]) if node.level else ""
            source = ".".join(part for part in (start, node.module) if part)
            for alias in node.names:
                # `from package import module` imports the module; any other name lives in `package` itself.
                whole = f"{source}.{alias.name}"
                found |= {whole} if whole in modules else {source} & set(modules)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "late":
            below = ast.literal_eval(node.args[0])
            assert f"{LATE}.{below}" in modules, f"{name}: late({below!r}, ...) names no module of {LATE}"
            found.add(f"{LATE}.{below}")
    return found - {name}


def graph_of(package: Path) -> dict[str, set[str]]:
    """What each module below `package` imports of it."""
    modules = modules_of(package)
    return {name: imports_of(name, path, modules) for name, path in modules.items()}


def room_of(name: str) -> str:
    """The file or folder directly below the package that a module lies in."""
    return name.split(".")[1] if "." in name else "__init__"


def circles_of(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of two or more modules of which each reaches every other."""
    reached = {}
    for start in graph:
        seen, open_ends = set(), [start]
        while open_ends:
            new = graph.get(open_ends.pop(), set()) - seen
            seen |= new
            open_ends += new
        reached[start] = seen
    in_circles = sorted(name for name in graph if name in reached[name])
    groups = {
        tuple(other for other in in_circles if other in reached[name] and name in reached[other]) for name in in_circles
    }
    return sorted(map(list, groups))


def upward_imports(graph: dict[str, set[str]]) -> list[str]:
    """Imports of a room that is not before the importing module's own."""
    wrong = []
    for name, imported in graph.items():
        for other in sorted(imported):
            one, another = room_of(name), room_of(other)
            if one != another and RANK[another] >= RANK[one]:
                wrong.append(f"{name} imports {other}")
    return wrong


def test_every_room_has_a_place_in_the_order() -> None:
    assert {room_of(name) for name in graph_of(PACKAGE)} <= set(RANK)


def test_imports_point_one_way() -> None:
    assert upward_imports(graph_of(PACKAGE)) == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circles_of(graph_of(PACKAGE)) == []


@pytest.mark.parametrize("late", ["", "def f():\n    ", "if TYPE_CHECKING:\n    "])
def test_a_wrong_import_is_found_wherever_it_stands(tmp_path: Path, late: str) -> None:
    package = tmp_path / "simset_bench"
    for name, text in {
        "__init__": "",
        "errors": "",
        "training/__init__": "",
        "training/run": f"{late}from simset_bench.evaluation import request",
        "evaluation/__init__": "",
        "evaluation/request": f"{late}from simset_bench.evaluation.harness import x",
        "evaluation/harness": f"{late}from . import request",
    }.items():
        path = package / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    graph = graph_of(package)
    assert upward_imports(graph) == ["simset_bench.training.run imports simset_bench.evaluation.request"]
    assert circles_of(graph) == [["simset_bench.evaluation.harness", "simset_bench.evaluation.request"]]


def test_a_function_named_late_is_an_import_of_its_module(tmp_path: Path) -> None:
    tasks = tmp_path / "simset_bench" / "evaluation" / "tasks"
    tasks.mkdir(parents=True)
    for folder in (tasks, tasks.parent, tasks.parent.parent):
        (folder / "__init__.py").touch()
    (tasks / "table.py").write_text('TASKS = {"x": Task(late("tasks.rows", "rows"))}')
    (tasks / "rows.py").write_text("from simset_bench.evaluation.tasks.table import TASKS")
    below = "simset_bench.evaluation.tasks"
    assert circles_of(graph_of(tmp_path / "simset_bench")) == [[f"{below}.rows", f"{below}.table"]]


def test_the_tables_name_their_functions_late() -> None:
    """Without these edges the circles would be looked for in half a graph."""
    graph = graph_of(PACKAGE)
    assert f"{LATE}.tasks.documents" in graph[f"{LATE}.tasks.table"]
    assert f"{LATE}.probes.unlearning" in graph[f"{LATE}.probes.table"]
