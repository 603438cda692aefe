"""YAML that somebody wrote by hand or that a run wrote: read within limits, and with no option given twice."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from simset_bench.errors import RequestError
from simset_bench.strict_json import read_text

# A configuration has a line an option, a grid a line an axis.
_MOST_BYTES = 1 << 20


# LibYAML reads thousands of configurations in the time that plain Python takes for hundreds.
_Fastest: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Fastest):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        names = [name.value for name, _ in node.value if isinstance(name, yaml.ScalarNode)]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise yaml.MarkedYAMLError(problem=f"{twice[:80]!r} stands twice", problem_mark=node.start_mark)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        return mapping


class NotYaml(ValueError):
    """A file is no YAML that can be read; the message says why."""


def read_yaml(path: Path) -> Any:
    """What a YAML file of at most 1 MiB says.

    Raises OSError where it cannot be read, ValueError where it is no file, too large or not UTF-8, and NotYaml where
    it is not YAML, nested too deeply, or gives one name of a mapping twice.
    """
    return parse_yaml(read_text(path, _MOST_BYTES))


def read_mapping(path: Path, expected: str) -> dict[Any, Any]:
    """The mapping that a YAML file holds; `expected` says what of, such as "with axes".

    Raises RequestError that names the file where it cannot be read or holds something else.
    """
    try:
        content = read_yaml(path)
    except NotYaml as error:
        raise RequestError(f"{path}: {error}") from error
    except (OSError, ValueError) as error:
        raise RequestError(f"{path}: cannot be read ({error})") from error
    if not isinstance(content, dict):
        kind = "null" if content is None else type(content).__name__
        raise RequestError(f"{path}: expected a mapping {expected}, found {kind}")
    return content


def parse_yaml(text: str) -> Any:
    """What a YAML text says. Raises NotYaml where it is none, nested too deeply, or gives a name of a mapping twice."""
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise NotYaml(f"not YAML ({' '.join(str(error).split())})") from error
    except RecursionError as error:
        raise NotYaml("not YAML (nested too deeply)") from error
