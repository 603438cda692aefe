"""Samples as columns: what records hold, split by field, each column in the smallest form that keeps every bit."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from simset_bench.strict_json import LARGEST_NUMBER, brief, parse_json

FLAGS, STEPS, SINGLES, DOUBLES, TEXTS = "flags", "steps", "singles", "doubles", "texts"
KINDS = (FLAGS, STEPS, SINGLES, DOUBLES, TEXTS)
# The finest step is 2 ** -_FINEST; values of a finer one are floats.
_FINEST = 12
# These fields are hashes. An entry keeps this many of their hexadecimal digits, which is 64 bits, so that readers
# compare no more of the longer ones that runs have.
HASHES, HASH_DIGITS = ("doc_hash", "prompt_hash", "target_hash"), 16
# These fields end a record, in this order; its other fields stand before them by name.
_LAST = ("cluster", "tokens", "measures", "prompt_hash", "target_hash")


@dataclass(frozen=True)
class Block:
    """One stored column. `values` are (values,) bool, int32, float32 or float64, or a tuple of JSON texts, by `kind`.

    The numbers of `steps` are whole multiples of 2 ** -`power`.
    """

    kind: str
    values: Any
    power: int = 0

    @cached_property
    def key(self) -> bytes:
        """Equal of two blocks just where these hold the same."""
        digest = hashlib.sha256(f"{self.kind} {self.power} {len(self.values)} ".encode())
        if self.kind == TEXTS:
            digest.update(json.dumps(self.values, ensure_ascii=False).encode())
        else:
            digest.update(np.ascontiguousarray(self.values).tobytes())
        return digest.digest()

    @cached_property
    def simple(self) -> dict[str, Any]:
        """The values of the texts that are no lists and no objects, which could be changed: each is parsed once."""
        return {text: parse_json(text) for text in dict.fromkeys(self.values) if text[:1] not in ("[", "{")}

    @cached_property
    def short(self) -> "Block":
        """This column of hashes with the first `HASH_DIGITS` digits of each; this very one where none is longer."""
        values = tuple(map(_short_hash, self.values))
        return self if values == self.values else Block(TEXTS, values)

    @cached_property
    def numbers(self) -> np.ndarray:
        """The values (values,) float64 of a column of numbers."""
        values = np.asarray(self.values, dtype=np.float64)
        return values * 2.0**-self.power if self.kind == STEPS else values


@dataclass(frozen=True)
class Column:
    """A field of records: its values for those that have it, `present` (flags; None: all of them).

    The numbers of a measure are those of `block` times `factor`, where there is one.
    """

    block: Block
    present: Block | None = None
    factor: float | None = None

    @property
    def key(self) -> tuple[bytes, bytes | None, float | None]:
        """Equal of two columns just where these hold the same."""
        return self.block.key, None if self.present is None else self.present.key, self.factor

    @property
    def numbers(self) -> np.ndarray:
        """The values (values,) float64 of a measure."""
        return self.block.numbers if self.factor is None else self.block.numbers * self.factor


@dataclass(frozen=True)
class Columns:
    """The samples of one result: `count` records, by measure and by field (JSON texts)."""

    count: int
    measures: Mapping[str, Column]
    fields: Mapping[str, Column]


def columns_of(records: Sequence[Mapping[str, Any]]) -> Columns:
    """The columns of records as `read_samples` gives them; `records_of` gives the same ones back."""
    measures: dict[str, Column] = {}
    for name in sorted({name for record in records for name in record["measures"]}):
        having = [name in record["measures"] for record in records]
        numbers = np.array([record["measures"][name] for record in records if name in record["measures"]], dtype=float)
        measures[name] = _measure(numbers, _presence(having), measures.values())
    fields: dict[str, Column] = {}
    for name in sorted({name for record in records for name in record if name != "measures"}):
        having = [name in record for record in records]
        texts = tuple(
            json.dumps(record[name], ensure_ascii=False, sort_keys=True) for record in records if name in record
        )
        fields[name] = Column(Block(TEXTS, texts), _presence(having))
    return Columns(len(records), measures, fields)


def _presence(having: Sequence[bool]) -> Block | None:
    return None if all(having) else Block(FLAGS, np.array(having))


def _measure(numbers: np.ndarray, present: Block | None, others: Iterable[Column]) -> Column:
    """A measure's column: a multiple of another one where it is that to the last bit."""
    block = _of_numbers(numbers)
    if block.kind in (SINGLES, DOUBLES):
        for other in others:
            alike = None if other.present is None else other.present.key
            if other.factor is None and alike == (None if present is None else present.key):
                factor = _factor(other.block.numbers, numbers)
                if factor is not None:
                    return Column(other.block, present, factor)
    return Column(block, present)


def _factor(base: np.ndarray, numbers: np.ndarray) -> float | None:
    """The number that makes `numbers` of `base` to the last bit; None if it is not within a rounding of a quotient."""
    place = int(np.argmax(np.abs(base)))
    if base[place] == 0:
        return None
    near = numbers[place] / base[place]
    for factor in (near, np.nextafter(near, np.inf), np.nextafter(near, -np.inf)):
        if np.isfinite(factor) and _same(base * factor, numbers):
            return float(factor)
    return None


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two float64 arrays are equal to the last bit, the sign of a zero included."""
    return bool((one.view(np.int64) == other.view(np.int64)).all())


def _of_numbers(numbers: np.ndarray) -> Block:
    """The smallest form that holds float64 `numbers` to the last bit."""
    if _same((numbers != 0).astype(float), numbers):
        return Block(FLAGS, numbers != 0)
    if _in_steps(numbers, _FINEST) is not None:
        power, steps = next(
            (power, steps) for power in range(_FINEST + 1) if (steps := _in_steps(numbers, power)) is not None
        )
        return Block(STEPS, steps, power)
    with np.errstate(over="ignore"):
        singles = numbers.astype(np.float32)
    return Block(SINGLES, singles) if _same(singles.astype(float), numbers) else Block(DOUBLES, numbers)


def _in_steps(numbers: np.ndarray, power: int) -> np.ndarray | None:
    """`numbers` as int32 multiples of 2 ** -power, None where they are not that."""
    steps = np.rint(numbers * 2.0**power)
    if np.abs(steps).max() >= 2**31:
        return None
    whole = steps.astype(np.int32)
    return whole if _same(whole * 2.0**-power, numbers) else None


def records_of(columns: Columns) -> list[dict[str, Any]]:
    """The records of columns. Raises ValueError for a field that is not JSON."""
    measures = {name: _spread(column, column.numbers.tolist()) for name, column in columns.measures.items()}
    values: dict[str, Sequence[Any]] = {
        name: _spread(column, parsed(column.block)) for name, column in columns.fields.items()
    }
    values["measures"] = [
        {name: of[number] for name, of in measures.items() if of[number] is not _MISSING}
        for number in range(columns.count)
    ]
    names = [*sorted(values.keys() - set(_LAST)), *(name for name in _LAST if name in values)]
    return [
        {name: values[name][number] for name in names if values[name][number] is not _MISSING}
        for number in range(columns.count)
    ]


_MISSING: Any = object()


def _spread(column: Column, values: Sequence[Any]) -> Sequence[Any]:
    """A value for each record, `_MISSING` where it has none."""
    if column.present is None:
        return values
    left = iter(values)
    return [next(left) if is_there else _MISSING for is_there in column.present.values]


def parsed(block: Block) -> list[Any]:
    """The values of a column of JSON texts. Raises ValueError for one that is not JSON."""
    simple = block.simple
    return [simple[text] if text in simple else parse_json(text) for text in block.values]


def shared(columns: Columns, known: dict[bytes, Block]) -> Columns:
    """The same columns, with blocks of `known` where it has equal ones; it gets the others."""

    def of(block: Block) -> Block:
        return known.setdefault(block.key, block)

    def column(each: Column) -> Column:
        return Column(of(each.block), None if each.present is None else of(each.present), each.factor)

    parts = ({name: column(each) for name, each in part.items()} for part in (columns.measures, columns.fields))
    return Columns(columns.count, *parts)


def with_short_hashes(columns: Columns) -> Columns:
    """The same columns, with the first `HASH_DIGITS` digits of every hash."""
    fields = columns.fields.items()
    shortened = {name: replace(column, block=column.block.short) for name, column in fields if name in HASHES}
    return replace(columns, fields={**columns.fields, **shortened})


def _short_hash(text: str) -> str:
    """A JSON text of a hash with its first digits; any other text as it is."""
    is_hash = text[:1] == text[-1:] == '"' and text[1:-1].isalnum()
    return f'{text[: HASH_DIGITS + 1]}"' if is_hash and len(text) > HASH_DIGITS + 2 else text


def check_columns(columns: Columns) -> None:
    """Raise ValueError where columns cannot be those of records: of other lengths, or with a number that cannot be."""
    for name, column in columns.measures.items():
        _check_column(name, column, columns.count)
        if column.block.kind == TEXTS:
            raise ValueError(f"measure {brief(name)} is stored as {TEXTS}")
        if len(column.block.values) and not np.abs(column.numbers).max() <= LARGEST_NUMBER:
            raise ValueError(f"measure {brief(name)} holds a number that cannot be")
    for name, column in columns.fields.items():
        _check_column(name, column, columns.count)
        if column.block.kind != TEXTS or column.factor is not None:
            raise ValueError(f"field {brief(name)} is stored as {column.block.kind}")


def _check_column(name: str, column: Column, count: int) -> None:
    if column.present is not None:
        if column.present.kind != FLAGS or len(column.present.values) != count:
            raise ValueError(f"{brief(name)} does not say which of {count} samples have it")
        count = int(np.count_nonzero(column.present.values))
    if len(column.block.values) != count:
        raise ValueError(f"{brief(name)} has {len(column.block.values)} values for {count} samples")
