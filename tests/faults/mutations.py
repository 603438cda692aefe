"""Seeded damage: wrong values of options, and wrong bytes, values and kinds of files."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

# A place beside the working folder: an option may name it, a file must not lead there.
BESIDE = "../x"
VALUES = [
    "",
    " ",
    "-1",
    "0",
    "1",
    "2",
    "10**39",
    str(10**39),
    "1e309",
    "nan",
    "inf",
    "-inf",
    "0.5",
    "1e-400",
    "true",
    "null",
    "[]",
    "{}",
    BESIDE,
    "../../outside/precious.txt",
    "/",
    "/dev/null",
    "/dev/full",
    "/proc/x",
    ".",
    "..",
    "~",
    "x" * 300,
    "simset9",
    "\N{SNOWMAN}",
    "\x1b[31mred",
    "a\nb",
    "jsonl:",
    "jsonl:nowhere",
    "people:count=-1",
    "people:count=1e9x",
    "people:values=nan",
    "squad:squad.json",
    "text:.",
    "text:/proc/self/task",
    "jsonl:docs.jsonl",
    "%s",
    "$(touch x)",
    "--x",
    "docs.jsonl",
    "facts.json",
    "model",
    "run.yaml",
    "a.parquet",
    "hub:x",
    "cuda",
    "cuda:99",
    "float16",
    "docmem,docmem",
    "study",
    "allocation=random,random",
    "alpha=1,1.0",
    "alpha==" + "(" * 300,
]
# Values of JSON and YAML that no writer of ours gives; functions, since some are mutable.
_NODES: list[Any] = [
    None,
    True,
    -1,
    0,
    10**39,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "../../outside/x",
    "/tmp/x",
    "x" * 5000,
    "\x1b[2J",
    "\ud800",
    "=cmd()",
    [],
    {},
    [[]],
    {"a": {"b": []}},
    "simset9",
    0.5,
    "1",
    [1, "a", None],
]


def mutated_options(chance: Random, command: list[str]) -> list[str]:
    """A command with one option's value exchanged, an option doubled or left out, or one added."""
    mutated = list(command)
    places = [number for number, word in enumerate(mutated) if word.startswith("--") and number + 1 < len(mutated)]
    if places and chance.random() < 0.8:
        mutated[chance.choice(places) + 1] = chance.choice(VALUES)
        return mutated
    if places and chance.random() < 0.5:
        place = chance.choice(places)
        return mutated[:place] + mutated[place + 2 :]
    place = chance.randrange(1, len(mutated) + 1)
    return [*mutated[:place], chance.choice(VALUES), *mutated[place:]]


def mutate_file(chance: Random, path: Path) -> str:
    """Damage a file in place; what was done, in words."""
    ways = [_flip_bits, _cut, _double, _insert, _exchange]
    if path.suffix in (".json", ".jsonl", ".yaml"):
        ways += [_node] * 6
    is_packed = path.parent.name == "packed" and path.suffix == ".parquet"
    if is_packed:
        ways += [_row] * 6
    done = chance.choice(ways)(chance, path)
    if is_packed and chance.random() < 0.8:
        _sign_again(path.parent)
        done += ", signed again"
    return f"{path}: {done}"


def _flip_bits(chance: Random, path: Path) -> str:
    content = bytearray(path.read_bytes())
    for _ in range(chance.choice([1, 1, 1, 8])):
        if content:
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)
    return "bits flipped"


def _cut(chance: Random, path: Path) -> str:
    content = path.read_bytes()
    path.write_bytes(content[: chance.randrange(len(content) + 1)])
    return "cut short"


def _double(chance: Random, path: Path) -> str:
    content = path.read_bytes()
    place = chance.randrange(len(content) + 1)
    path.write_bytes(content[:place] + content[place // 2 :])
    return "a part doubled"


def _insert(chance: Random, path: Path) -> str:
    content = path.read_bytes()
    place = chance.randrange(len(content) + 1)
    token = chance.choice(
        [b"\0", b"\xff\xfe", b"\n", b"{", b"[" * 3000, b"!!python/object/apply:os.system [touch x]", b"NaN"]
    )
    path.write_bytes(content[:place] + token + content[place:])
    return f"{token[:12]!r} inserted"


def _exchange(chance: Random, path: Path) -> str:
    """Something else by the file's name: nothing, a folder, a pipe, a link to itself or out of the folder."""
    path.unlink()
    kind = chance.choice(["absent", "empty", "folder", "pipe", "circle", "link outside", "another file"])
    if kind == "empty":
        path.touch()
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "circle":
        path.symlink_to(path.name)
    elif kind == "link outside":
        path.symlink_to(Path.cwd().parent / "outside" / "precious.txt")
    elif kind == "another file":
        others = [each for each in path.parent.iterdir() if each.is_file()]
        if others:
            shutil.copyfile(chance.choice(sorted(others)), path)
    return f"now {kind}"


def _node(chance: Random, path: Path) -> str:
    """One value of a document exchanged, left out or nested deeply."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".jsonl":
        lines = text.splitlines()
        place = chance.randrange(len(lines)) if lines else 0
        value, said = _changed(chance, json.loads(lines[place]) if lines else {})
        lines[place : place + 1] = [json.dumps(value)]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    elif path.suffix == ".yaml":
        value, said = _changed(chance, yaml.safe_load(text))
        path.write_text(yaml.safe_dump(value), encoding="utf-8", errors="replace")
    else:
        value, said = _changed(chance, json.loads(text))
        path.write_text(json.dumps(value), encoding="utf-8")
    return said


def _row(chance: Random, path: Path) -> str:
    """One value of a Parquet file's rows exchanged for another of its type."""
    table = pq.read_table(path)
    while True:
        # A row alone: a study has thousands of values that are alike.
        rows = table.to_pylist()
        place = chance.randrange(len(rows))
        rows[place], said = _changed(chance, rows[place])
        try:
            changed = pa.Table.from_pylist(rows, table.schema)
        except (pa.ArrowException, TypeError, ValueError, OverflowError, AttributeError):
            continue
        pq.write_table(
            changed, path, use_dictionary=[name for name in ["texts.list.element"] if path.stem == "samples"]
        )
        return said


def _sign_again(packed: Path) -> None:
    """List the hashes that the files of a packed study have now, as a forger would."""
    study = json.loads((packed / "study.json").read_text())
    for name in study["files"]:
        if (packed / name).is_file():
            study["files"][name] = hashlib.sha256((packed / name).read_bytes()).hexdigest()
    (packed / "study.json").write_text(json.dumps(study))


def _changed(chance: Random, value: Any) -> tuple[Any, str]:
    places: list[tuple[Any, Any]] = []

    def visit(node: Any) -> None:
        for key in node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
            places.append((node, key))
            visit(node[key])

    visit(value)
    if not places:
        return chance.choice(_NODES), "another value"
    node, key = chance.choice(places)
    if chance.random() < 0.2:
        del node[key]
        return value, f"{key} left out"
    node[key] = _deep(chance.choice(_NODES)) if chance.random() < 0.05 else chance.choice(_NODES)
    return value, f"{key} is now {str(node[key])[:40]!r}"


def _deep(value: Any) -> Any:
    for _ in range(500):
        value = [value]
    return value
