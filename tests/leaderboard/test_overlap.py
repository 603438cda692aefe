"""The page's overlap against similarity: computed for a run, kept in an entry, left out where it cannot be computed."""

import json
import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from simset_bench.corpora.load import CorpusOptions, load_corpus
from simset_bench.leaderboard.overlap import OVERLAP, overlap_of
from simset_bench.simset.allocate_to_file import allocate_to_file
from simset_bench.simset.large.allocate import AllocationRequest
from simset_bench.training.run_folder import ALLOCATION

ENTRIES, K = 96, 8


@pytest.fixture
def folder(tiny_corpus: Path, tmp_path: Path) -> Path:
    """A run's folder as far as its allocation."""
    run = tmp_path / "run"
    run.mkdir()
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_bytes(tiny_corpus.read_bytes())
    request = AllocationRequest(CorpusOptions(f"jsonl:{corpus}"), "simset1", ENTRIES, K, seed=0)
    allocate_to_file(request, run / ALLOCATION)
    return run


def test_the_line_that_overlap_should_follow_is_j_and_what_chance_adds(folder: Path, tiny_corpus: Path) -> None:
    """J + (1 - J) k / M, over all pairs of documents by a plain loop."""
    words = [set(re.findall(r"\w+", document.text.casefold())) for document in load_corpus(f"jsonl:{tiny_corpus}")]
    bands: dict[int, list[float]] = {}
    for one, other in combinations(words, 2):
        similar = len(one & other) / len(one | other)
        bands.setdefault(int(similar * 10), []).append(similar)
    found = overlap_of(folder)
    assert found is not None
    assert [band["pairs"] for band in found] == [len(bands[number]) for number in sorted(bands)]
    for band, number in zip(found, sorted(bands), strict=True):
        due = [similar + (1 - similar) * K / ENTRIES for similar in bands[number]]
        assert band["jaccard"] == pytest.approx(np.mean(bands[number]), rel=1e-12)
        assert band["overlap_due"] == pytest.approx(np.mean(due), rel=1e-12)


def test_an_entry_keeps_its_bands_and_they_win_over_an_allocation(folder: Path) -> None:
    kept = [{"jaccard": 0.5, "overlap": 1, "pairs": 3, "note": "of a later version"}]
    (folder / OVERLAP).write_text(json.dumps(kept))
    assert overlap_of(folder) == [{"jaccard": 0.5, "overlap": 1.0, "pairs": 3.0}]


@pytest.mark.parametrize("text", ["{", "[1]", '[{"jaccard": "x"}]'])
def test_a_damaged_file_is_left_out_by_name(folder: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / OVERLAP).write_text(text)
    assert overlap_of(folder) is None
    assert f"{folder / OVERLAP}: left out, damaged" in " ".join(capsys.readouterr().err.split())


def test_a_corpus_that_is_gone_is_noted_and_a_method_without_entries_is_not(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert overlap_of(tmp_path) is None
    assert capsys.readouterr().err == ""
    (tmp_path / "corpus.jsonl").unlink()
    assert overlap_of(folder) is None
    assert "no overlap for the page" in " ".join(capsys.readouterr().err.split())
