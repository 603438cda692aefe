"""The version of lm-eval and names that its tasks may have, read from its files without importing it."""

import importlib.metadata
import importlib.util
import os
import re
from functools import cache
from pathlib import Path

# A line with one word, or with a word after one of the keys that name a task, a group or a tag.
_NAME = re.compile(
    r"^[ \t]*(?:-[ \t]+)?(?:[\"']?(?:task|group|tag)[\"']?:[ \t]*)?\[?[ \t]*[\"']?([^\s\"'#\[\]{},]+)[\"']?[ \t]*\]?"
    r"[ \t]*(?:#.*)?$",
    re.MULTILINE,
)
_NO_TASKS = (".md", ".py", ".pyc", ".json", ".jsonl", ".txt", ".csv")


@cache
def version() -> str:
    """The version of lm-eval that is installed."""
    return importlib.metadata.version("lm_eval")


@cache
def possible_names() -> frozenset[str]:
    """Every name of a task, group or tag of lm-eval, and other words of its files.

    lm-eval itself takes ten seconds and more to be imported and to read them, which a misspelt name need not wait for.
    """
    package = importlib.util.find_spec("lm_eval")
    roots = (package.submodule_search_locations or []) if package else []
    return frozenset().union(*(names_below(Path(root) / "tasks") for root in roots))


def names_below(root: Path) -> frozenset[str]:
    """Every name of a task, group or tag in the files below a folder, and other words that stand on lines alone."""
    names: set[str] = set()
    for folder, _, files in os.walk(root):
        for file in files:
            if not file.endswith(_NO_TASKS):
                content = Path(folder, file).read_bytes()
                if b"\0" not in content:
                    names.update(_NAME.findall(content.decode("utf-8", "replace")))
    return frozenset(names)
