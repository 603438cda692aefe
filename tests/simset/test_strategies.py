"""The table of strategies: what is added there is known everywhere, and refused where it cannot be done."""

import base64
import gzip
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from fixtures.added import Command, commands_with, output_of
from hypothesis import given, settings
from hypothesis import strategies as st

from simset_bench.corpora.documents import Document
from simset_bench.corpora.load import CorpusOptions
from simset_bench.errors import RequestError
from simset_bench.simset.allocation import allocate
from simset_bench.simset.analysis import compare_pairs, entry_loads
from simset_bench.simset.large.allocate import AllocationRequest, check_large
from simset_bench.simset.lookup import open_lookup
from simset_bench.simset.strategies import derangement

SHUFFLED = [f"shuffled{words}" for words in (1, 2, 3)]
FIVE_SIGMA = 5.0
EVERY_SECOND = Path(__file__).with_name("every_second.py")


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    """`simset-bench` with the strategy `every_second`, run in a folder of the test's own."""
    with commands_with(EVERY_SECOND, tmp_path) as run:
        yield run


@pytest.mark.slow
def test_a_strategy_of_one_function_and_one_record_is_known_from_help_to_page(
    command: Command, tiny_llama: Path, tiny_corpus: Path, tmp_path: Path
) -> None:
    for name in ("train", "allocate"):
        assert "every_second" in output_of(command(name, "--help"))
    corpus = ["--corpus", f"jsonl:{tiny_corpus}", "--num-docs", 4, "--allocation", "every_second", "--mem-seed", 1]
    corpus += ["--entries", 64, "--entries-per-doc", 8]
    file = tmp_path / "a.parquet"
    output_of(command("allocate", *corpus, "--output", file))
    assert {tuple(entries.tolist()) for entries in open_lookup(file).entries} == {tuple(range(0, 16, 2))}
    analysis = json.loads(output_of(command("analyze", file, "--plots", tmp_path / "plots", "--json")))
    assert (analysis["mean_overlap"], analysis["unused_entries"]) == (1.0, 56)
    model = ["--model", tiny_llama, "--layer", 2, "--epochs", 1, "--dtype", "float32", "--device", "cpu"]
    run = json.loads(output_of(command("train", *model, *corpus, "--save-dir", "out", "--json")))["run"]
    assert "every_second_1" in run
    output_of(command("eval", run, "--task", "location", "--quiet"))
    page = tmp_path / "page.html"
    board = json.loads(output_of(command("leaderboard", "out", "--html", page, "--json")))
    assert [row["allocation"] for row in board["rows"]] == ["every_second"]
    text = page.read_text(encoding="utf-8")
    charts, data = (re.search(f'id="{name}"[^>]*>([^<]*)<', text) for name in ("charts", "data"))
    assert charts is not None
    assert data is not None
    assert "every_second" in json.loads(base64.b64decode(charts.group(1)))["colours"]
    (row,) = json.loads(gzip.decompress(base64.b64decode(data.group(1))))["rows"]
    assert row["kind"] == "every_second"


@pytest.mark.slow
def test_what_cannot_be_done_with_such_a_strategy_is_refused(
    command: Command, tiny_corpus: Path, tmp_path: Path
) -> None:
    corpus = ["--corpus", f"jsonl:{tiny_corpus}"]
    options = [*corpus, "--allocation", "every_second", "--entries-per-doc", 8, "--output", "a.parquet"]
    large = command("allocate", *options, "--engine", "daft")
    assert (large.returncode, (tmp_path / "a.parquet").exists()) == (2, False)
    assert "--allocation every_second is for corpora that fit into memory: use --engine datasketch" in large.stderr
    output_of(command("allocate", *options))
    before = (tmp_path / "a.parquet").read_bytes()
    added = command("allocate", *corpus, "--output", "a.parquet", "--append")
    assert added.returncode == 2
    assert "under every_second the entries of one document depend on all" in added.stderr
    asked = command("allocate", "--output", "a.parquet", "--query", "a lighthouse")
    assert asked.returncode == 2
    assert "under every_second entries do not follow from a text alone" in asked.stderr
    assert (tmp_path / "a.parquet").read_bytes() == before


@settings(max_examples=60)
@given(st.integers(2, 60), st.integers(0, (1 << 32) - 1))
def test_a_derangement_moves_everybody_and_follows_from_its_seed(count: int, seed: int) -> None:
    order = derangement(count, seed)
    assert sorted(order.tolist()) == list(range(count))
    assert (order != np.arange(count)).all()
    assert (order == derangement(count, seed)).all()


def test_every_derangement_is_as_likely_as_another() -> None:
    drawn = [tuple(derangement(4, seed).tolist()) for seed in range(3000)]
    counts = np.array([drawn.count(order) for order in set(drawn)])
    # Four places have nine derangements.
    assert len(counts) == 9
    spread = (3000 / 9 * (1 - 1 / 9)) ** 0.5
    assert (np.abs(counts - 3000 / 9) < FIVE_SIGMA * spread).all()


@pytest.mark.parametrize("num_clusters", [None, 18])
@pytest.mark.parametrize("strategy", SHUFFLED)
def test_shuffled_entries_are_those_of_simset_on_other_documents(
    tiny_documents: list[Document], strategy: str, num_clusters: int | None
) -> None:
    simset = allocate(tiny_documents, strategy.replace("shuffled", "simset"), 256, 16, 3, num_clusters)
    made, again = (allocate(tiny_documents, strategy, 256, 16, 3, num_clusters) for _ in range(2))
    other = allocate(tiny_documents, strategy, 256, 16, 4, num_clusters)
    assert (made.clusters == simset.clusters).all()
    # One document of each cluster: what is permuted are the clusters' entries.
    firsts = np.unique(made.clusters, return_index=True)[1].tolist()
    before, after = ([a.entries[d].tolist() for d in firsts] for a in (simset, made))
    assert sorted(before) == sorted(after)
    assert after == [before[source] for source in derangement(len(firsts), 3)]
    for d, cluster in enumerate(made.clusters.tolist()):
        assert made.entries[d].tolist() == after[cluster]
    assert [e.tolist() for e in made.entries] == [e.tolist() for e in again.entries]
    assert [e.tolist() for e in made.entries] != [e.tolist() for e in other.entries]
    if num_clusters is None:
        assert (entry_loads(made) == entry_loads(simset)).all()
    assert made.signatures is None


def test_overlap_of_shuffled_entries_says_nothing_of_similarity(
    planted_pairs: Callable[[int, int, int], list[Document]],
) -> None:
    documents = planted_pairs(60, 50, 10)
    correlations = {}
    for strategy in ("simset1", "shuffled1"):
        pairs = compare_pairs(allocate(documents, strategy, 1024, 32, 0), documents)
        correlations[strategy] = np.corrcoef(pairs.jaccard, pairs.overlap)[0, 1]
    assert correlations["simset1"] > 0.8
    # Of 7,140 pairs 60 are alike. Were pairs independent, a correlation would have this standard error.
    assert abs(correlations["shuffled1"]) < FIVE_SIGMA * 7140**-0.5


def test_shuffled_needs_another_document_and_the_whole_corpus(tiny_documents: list[Document]) -> None:
    with pytest.raises(RequestError, match="needs two documents or clusters"):
        allocate(tiny_documents[:1], "shuffled2", 64, 8, 0)
    with pytest.raises(RequestError, match="--entries 64 is not divisible by --entries-per-doc 7"):
        allocate(tiny_documents, "shuffled2", 64, 7, 0)
    with pytest.raises(RequestError, match="--allocation shuffled2 is for corpora that fit into memory"):
        check_large(AllocationRequest(CorpusOptions("vital"), "shuffled2", 64, 8, 0))
