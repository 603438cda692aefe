"""The configuration of a run: a file, flags over it, and what is refused."""

import dataclasses
import json
import math
import zlib
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simset_bench.corpora.load import load_corpus
from simset_bench.errors import RequestError
from simset_bench.simset.allocation import allocate
from simset_bench.simset.store_writer import write_allocation
from simset_bench.training.config import TrainConfig, check, config_text, differences, make_config, read_config
from simset_bench.training.sweep.grid import read_grid


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "run.yaml"


def test_defaults_are_the_designs() -> None:
    config = make_config(None)
    check(config)
    assert (config.model, config.corpus, config.entries, config.entries_per_doc) == ("smollm2-135m", "vital", 1024, 32)
    assert (config.inductive_form, config.alpha, config.location) == ("log", 1.0, "soft")


def test_flags_override_the_file_and_the_file_the_defaults(file: Path) -> None:
    file.write_text("alpha: 0.2\nepochs: 7\nlayer: 22\nnum_docs: null\ngate: true\n", encoding="utf-8")
    config = make_config(file, alpha=0.6, epochs=None, gate=False)
    assert (config.alpha, config.epochs, config.layer, config.num_docs, config.gate) == (0.6, 7, 22, None, False)
    assert config.entries == TrainConfig().entries


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    config=st.builds(
        TrainConfig,
        model=st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), min_size=1),
        num_docs=st.none() | st.integers(1, 10**9),
        layer=st.integers(0, 99) | st.floats(0, 0.99) | st.sampled_from(["0.75", "22"]),
        alpha=st.floats(0, 1e6),
        lr=st.floats(1e-12, 10),
        gate=st.booleans(),
        seed=st.integers(0, 2**32 - 1),
    )
)
def test_a_written_configuration_is_read_back_as_it_was(file: Path, config: TrainConfig) -> None:
    file.write_text(config_text(config), encoding="utf-8")
    assert TrainConfig(**read_config(file)) == config


def test_a_number_without_a_point_is_a_number_as_people_write_it(file: Path) -> None:
    file.write_text("lr: 2e-3\nalpha: 1\nwarmup: .1\n", encoding="utf-8")
    config = make_config(file)
    assert (config.lr, config.alpha, config.warmup) == (0.002, 1.0, 0.1)
    assert isinstance(config.alpha, float)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("alhpa: 1", r"run\.yaml: unknown option 'alhpa' \(did you mean 'alpha'\?\)"),
        ("entries-per-doc: 8", r"unknown option 'entries-per-doc' \(did you mean 'entries_per_doc'\?\)"),
        ("epochs: many", r"run\.yaml: epochs must be int, found 'many'"),
        ("epochs: 2.5", r"run\.yaml: epochs must be int, found 2\.5"),
        ("epochs: true", r"run\.yaml: epochs must be int, found True"),
        ("alpha: high", r"run\.yaml: alpha must be float, found 'high'"),
        ("alpha: [1]", r"run\.yaml: alpha must be float, found \[1\]"),
        ("gate: 1", r"run\.yaml: gate must be bool, found 1"),
        ("num_docs: all", r"run\.yaml: num_docs must be int or null, found 'all'"),
        ("model: null", r"run\.yaml: model must be str, found None"),
        ("- alpha", r"run\.yaml: expected a mapping of options to values, found list"),
        ("", r"run\.yaml: expected a mapping of options to values, found null"),
        ("alpha: 1" + "0" * 400, r"run\.yaml: alpha must be float, found 10"),
        ("num_docs: .nan", r"run\.yaml: num_docs must be int or null, found nan"),
        ("alpha: [1", r"run\.yaml: not YAML \(.*line 1"),
        ("alpha: !!python/object/apply:os.getcwd []", r"run\.yaml: not YAML \(could not determine a constructor"),
    ],
)
def test_a_wrong_file_is_told_by_file_and_field_in_one_line(file: Path, text: str, told: str) -> None:
    file.write_text(text, encoding="utf-8")
    with pytest.raises(RequestError, match=told) as raised:
        make_config(file)
    assert "\n" not in str(raised.value)


def test_a_file_that_cannot_be_read_is_told_so(file: Path) -> None:
    with pytest.raises(RequestError, match=r"run\.yaml: cannot be read"):
        make_config(file)
    file.write_bytes(b"alpha: \xff")
    with pytest.raises(RequestError, match=r"run\.yaml: cannot be read"):
        make_config(file)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"alpha": -0.1}, "--alpha -0.1: must be a finite number, 0 or more"),
        ({"alpha": math.nan}, "--alpha nan: must be a finite number, 0 or more"),
        ({"alpha": math.inf}, "--alpha inf: must be a finite number, 0 or more"),
        ({"lr": 0.0}, "--lr 0: must be above 0, or nothing would be learned"),
        ({"lr": -1.0}, "--lr -1.0: must be a finite number, 0 or more"),
        ({"weight_decay": -1.0}, "--weight-decay -1.0: must be a finite number, 0 or more"),
        ({"grad_clip": math.nan}, "--grad-clip nan: must be a finite number, 0 or more"),
        ({"warmup": 1.0}, "--warmup 1.0: must be a share of the steps, from 0 to below 1"),
        ({"warmup": math.nan}, "--warmup nan: must be a share of the steps, from 0 to below 1"),
        ({"num_docs": 0}, "--num-docs 0: must be at least 1"),
        ({"num_clusters": 0}, "--num-clusters 0: must be at least 1"),
        ({"max_tokens": 1}, "--max-tokens 1: must be at least 2"),
        ({"entries": 0}, "--entries 0: must be at least 1"),
        ({"entries_per_doc": 0}, "--entries-per-doc 0: must be at least 1"),
        ({"epochs": 0}, "--epochs 0: must be at least 1"),
        ({"batch_size": 0}, "--batch-size 0: must be at least 1"),
        ({"seed": -1}, "--seed -1: must be at least 0"),
        ({"seed": 2**32}, "--seed 4294967296: must be below 4294967296"),
        ({"mem_seed": 2**40}, "--mem-seed 1099511627776: must be below 4294967296"),
        ({"num_docs": 10**39}, f"--num-docs {10**39}: must be below 4294967296"),
        ({"entries": 10**4000}, f"--entries 1{'0' * 39}: must be below 4294967296"),
        ({"inductive_form": "logs"}, "unknown --inductive-form 'logs' (did you mean 'log'?): choose from log, ratio"),
        ({"location": "hrad"}, "unknown --location 'hrad' (did you mean 'hard'?): choose from hard, soft"),
        ({"activation": "relo"}, "unknown --activation 'relo' (did you mean 'relu'?): choose from gelu, relu"),
    ],
)
def test_an_option_out_of_range_is_told_what_is_allowed(options: dict[str, Any], told: str) -> None:
    with pytest.raises(RequestError) as raised:
        make_config(None, **options)
    assert str(raised.value) == told


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"min_similarity": 0.0}, "--min-similarity 0.0: must be above 0 and at most 1"),
        ({"min_similarity": math.nan}, "--min-similarity nan: must be above 0 and at most 1"),
        ({"min_similarity": 0.5, "num_clusters": 4}, "--num-clusters 4 cannot be combined with --min-similarity 0.5"),
        ({"min_similarity": 0.5, "cluster_by": "topic"}, "cannot be combined with --cluster-by topic"),
        ({"cluster_by": "topic"}, "--cluster-by topic needs --num-clusters"),
        ({"cluster_by": "link", "num_clusters": 4}, "unknown --cluster-by 'link' (did you mean 'linkage'?)"),
        ({"method": "lora", "min_similarity": 0.5}, "--min-similarity 0.5: --method lora does not use it"),
    ],
)
def test_clusters_that_cannot_be_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(RequestError) as raised:
        make_config(None, **options)
    assert told in str(raised.value)


def test_a_number_of_clusters_that_a_file_records_gives_way_to_a_similarity(file: Path) -> None:
    """A run's file has both: the number is what the similarity led to."""
    file.write_text("min_similarity: 0.5\nnum_clusters: 4\n")
    assert make_config(file).num_clusters == 4
    changed = make_config(file, min_similarity=0.7)
    assert (changed.min_similarity, changed.num_clusters) == (0.7, None)
    with pytest.raises(RequestError, match=r"--num-clusters 5 cannot be combined with --min-similarity 0\.5"):
        make_config(file, num_clusters=5)


def test_options_of_clusters_stand_in_files_only_where_they_are_in_force() -> None:
    assert "cluster_by" not in config_text(TrainConfig()) and "min_similarity" not in config_text(TrainConfig())
    text = config_text(TrainConfig(num_clusters=4, cluster_by="topic"))
    assert "num_clusters: 4\ncluster_by: topic\n" in text and "min_similarity" not in text


def test_hard_location_turns_the_inductive_loss_off_unless_alpha_is_given(tmp_path: Path) -> None:
    assert make_config(None).alpha == make_config(None, location="soft").alpha == 1.0
    assert make_config(None, location="hard").alpha == 0.0
    assert make_config(None, location="hard", alpha=0.5).alpha == 0.5
    file = tmp_path / "grid.yaml"
    file.write_text("axes: {location: [soft, hard]}\nfixed: {entries: 64}\n")
    assert [(cell.location, cell.alpha) for cell in read_grid(str(file)).cells] == [("soft", 1.0), ("hard", 0.0)]
    file.write_text("location: hard\nalpha: 2.0\n")
    assert make_config(file).alpha == 2.0


def test_differences_name_each_field_with_both_values() -> None:
    there = TrainConfig()
    asked = dataclasses.replace(there, alpha=0.2, epochs=3)
    assert differences(there, asked) == "alpha 1.0 there, 0.2 asked; epochs 40 there, 3 asked"
    assert differences(there, there) == ""


@pytest.mark.parametrize(
    "changed",
    [
        {"strategy": "../../x"},
        {"strategy": "/tmp/x"},
        {"strategy": "simset9"},
        {"strategy": 3},
        {"num_entries": "64"},
        {"num_entries": -1},
        {"seed": 10**39},
        {"corpus": {"corpus": 7, "group_by": "article", "num_docs": None, "match_subjects": None}},
        {"corpus": "vital"},
        {"corpus": {}},
        {"partition_by": "../x"},
        {"appended": 4},
    ],
)
def test_what_an_allocation_file_says_is_checked_as_flags_are(
    tiny_corpus: Path, tmp_path: Path, changed: dict[str, object]
) -> None:
    documents = load_corpus(f"jsonl:{tiny_corpus}", num_docs=4)
    path = tmp_path / "a.parquet"
    about = {"corpus": f"jsonl:{tiny_corpus}", "group_by": "article", "num_docs": 4, "match_subjects": None}
    write_allocation(allocate(documents, "random", 64, 8, 0), path, about)
    make_config(None, allocation=str(path))
    table = pq.read_table(path)
    made = json.loads(pq.read_metadata(path).metadata[b"simset_bench"])
    how = json.dumps(made | changed, sort_keys=True).encode()
    sealed = {b"simset_bench": how, b"simset_bench_crc32": str(zlib.crc32(how)).encode()}
    pq.write_table(table.replace_schema_metadata(sealed), path)
    with pytest.raises(RequestError, match=r"a\.parquet"):
        make_config(None, allocation=str(path))
