"""What each document adds to a measure, by file and measure, whether its samples are packed or not."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from simset_bench.evaluation.measures import summed_over_tokens
from simset_bench.results.packed_columns import HASH_DIGITS, Column, Columns, parsed
from simset_bench.results.samples import BESIDE, document_totals, packed_samples
from simset_bench.strict_json import parse_json


class Part(NamedTuple):
    """One measure in one file, arrays (documents,) in the order of the documents' names: these and a hash of what was
    asked about each (texts), the weighted sums of the measure and the sums of the weights (float64)."""

    clusters: np.ndarray
    asked: np.ndarray
    totals: np.ndarray
    weights: np.ndarray


def totals_of(files: Sequence[str]) -> dict[tuple[str, str], Part]:
    """Sums over the samples of each document, by file and measure, as `document_totals` has them."""
    packed = {file: columns for file in dict.fromkeys(files) if (columns := packed_samples(Path(file))) is not None}
    parts = _of_frame(document_totals([file for file in files if file not in packed]))
    if packed:
        with duckdb.connect() as database:
            grouping = _Grouping(database)
            for file, columns in packed.items():
                parts |= {(file, name): part for name, part in _of_columns(columns, grouping).items()}
    return parts


def _of_frame(frame: pd.DataFrame) -> dict[tuple[str, str], Part]:
    """The totals of each file and measure, in which the frame is sorted."""
    names = [frame[name].to_numpy(object) for name in ("file", "measure")]
    changes = np.flatnonzero(np.logical_or.reduce([name[1:] != name[:-1] for name in names])) + 1
    bounds = [0, *changes.tolist(), len(frame)] if len(frame) else []
    columns = [frame[name].to_numpy(object) for name in ("cluster", "asked")]
    columns += [frame[name].to_numpy(float) for name in ("total", "weight")]
    return {
        (names[0][low], names[1][low]): Part(*(column[low:high] for column in columns))
        for low, high in pairwise(bounds)
    }


class _Grouping:
    """Which samples are about which document, worked out once for all measures and files that share it."""

    def __init__(self, database: duckdb.DuckDBPyConnection) -> None:
        self._database = database
        self._asked: dict[tuple[bytes, ...], np.ndarray] = {}
        self._documents: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}
        self._grouped: dict[tuple[bytes | None, ...], tuple[np.ndarray, np.ndarray, np.ndarray]] = {}

    def of(self, columns: Columns, column: Column) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The number of its document (values,) for each sample that has the measure, and the documents' names and
        hashes of what was asked (documents,)."""
        cluster, *hashes = (columns.fields[name].block for name in ("cluster", "prompt_hash", "target_hash"))
        key = (cluster.key, *(block.key for block in hashes), column.present.key if column.present else None)
        if key not in self._grouped:
            names, numbers = self._documents_of(cluster.key, cluster.values)
            questions = self._questions(tuple(block.key for block in hashes), [block.values for block in hashes])
            if column.present is not None:
                numbers, questions = numbers[column.present.values], questions[column.present.values]
            there, numbers = np.unique(numbers, return_inverse=True)
            self._grouped[key] = (numbers, names[there], _sums(questions, numbers, len(there)))
        return self._grouped[key]

    def _documents_of(self, key: bytes, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        if key not in self._documents:
            # By code points, which is the order of the bytes of UTF-8 that DuckDB sorts by.
            numbers = {name: number for number, name in enumerate(sorted(set(texts)))}
            names = np.array([parse_json(text) for text in numbers], dtype=object)
            order = np.argsort(names, kind="stable")
            place = np.empty(len(order), dtype=int)
            place[order] = np.arange(len(order))
            self._documents[key] = (names[order], place[[numbers[text] for text in texts]])
        return self._documents[key]

    def _questions(self, key: tuple[bytes, ...], texts: Sequence[Sequence[str]]) -> np.ndarray:
        """DuckDB's hash of what each sample was asked, (samples,) uint64, as `document_totals` has it."""
        if key not in self._asked:
            prompts, targets = (pa.array([parse_json(text) for text in column]) for column in texts)
            pairs = pa.table({"prompt": prompts, "target": targets, "place": np.arange(len(prompts))})
            parts = ", ".join(f"left({name}::VARCHAR, {HASH_DIGITS})" for name in ("prompt", "target"))
            query = f"SELECT hash({parts}) AS question FROM pairs ORDER BY place"
            self._database.register("pairs", pairs)
            self._asked[key] = self._database.execute(query).fetchnumpy()["question"].astype(np.uint64)
        return self._asked[key]


def _sums(questions: np.ndarray, numbers: np.ndarray, documents: int) -> np.ndarray:
    """The sum of the hashes (samples,) of each document, as text (documents,)."""
    halves = [
        np.bincount(numbers, weights=half.astype(float), minlength=documents)
        for half in (questions >> 32, questions & 0xFFFFFFFF)
    ]
    # Exact, since fewer than 2 ** 21 samples are about one document.
    return np.array([str((int(high) << 32) + int(low)) for high, low in zip(*halves, strict=True)], dtype=object)


def _of_columns(columns: Columns, grouping: _Grouping) -> dict[str, Part]:
    """The totals of each measure of one packed file."""
    beside = {name: columns.fields[name] for name in BESIDE if name in columns.fields}
    by_tokens = set(summed_over_tokens())
    tokens = _tokens(columns)
    parts = {}
    for name, column, values in (
        *((name, column, column.numbers) for name, column in columns.measures.items()),
        *((name, column, np.array(parsed(column.block), dtype=float)) for name, column in beside.items()),
    ):
        numbers, documents, asked = grouping.of(columns, column)
        weights = np.ones(len(values))
        if name in by_tokens:
            weights = tokens if column.present is None else tokens[column.present.values]
        totals, sizes = (
            np.bincount(numbers, weights=each, minlength=len(documents)) for each in (values * weights, weights)
        )
        parts[name] = Part(documents, asked, totals, sizes)
    return parts


def _tokens(columns: Columns) -> np.ndarray:
    """The number of tokens of each sample, 1 where it has none, (samples,) float64."""
    tokens = np.ones(columns.count)
    if "tokens" in columns.fields:
        column = columns.fields["tokens"]
        tokens[slice(None) if column.present is None else column.present.values] = parsed(column.block)
    return tokens
