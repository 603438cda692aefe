"""`simset-bench train` and `models`, as a user types them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from simset_bench.cli.app import app
from simset_bench.simset.store import read_allocation
from simset_bench.training.config import OF_CONTINUING, TrainConfig, flag
from simset_bench.training.method_options import METHODS

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a command in this process; standard output and standard error are kept apart."""

    def invoke(*arguments: object) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return invoke


@pytest.fixture
def options(tiny_llama: Path, tiny_corpus: Path, tmp_path: Path) -> list[object]:
    """What trains a tiny memory in a moment."""
    chosen: list[object] = ["--model", tiny_llama, "--corpus", f"jsonl:{tiny_corpus}", "--save-dir", tmp_path / "out"]
    return [*chosen, "--num-docs", 4, "--entries", 64, "--entries-per-doc", 8, "--epochs", 2, "--device", "cpu"]


def assert_one_line(result: Result, code: int, *told: str) -> None:
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if line]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    for part in told:
        assert part in lines[0]


def test_train_prints_where_the_run_is_and_how_it_went(run: Run, options: list[object], tmp_path: Path) -> None:
    result = run("train", *options)
    assert result.exit_code == 0, result.output
    first, second = result.stdout.splitlines()
    assert first == str(tmp_path / "out/trains/lm_tiny-llama/layer_3/4/simset2_0/alpha_1.0")
    assert (Path(first) / "manifest.json").is_file()
    assert "cross-entropy" in second
    assert "4 documents, 2 steps in" in second


def test_json_is_one_object_on_standard_output(run: Run, options: list[object]) -> None:
    result = run("train", *options, "--json")
    found = json.loads(result.stdout)
    assert json.loads((Path(found["run"]) / "manifest.json").read_text(encoding="utf-8")).items() <= found.items()
    again = run("train", *options, "--json")
    assert json.loads(again.stdout) == found
    assert again.stderr.startswith("already trained: ")
    assert run("train", *options, "--json", "--quiet").stderr == ""


def test_flags_override_the_file_and_what_they_give_is_saved(run: Run, options: list[object], tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("alpha: 0.2\nlayer: 0.5\nallocation: random\nepochs: 9\n", encoding="utf-8")
    result = run("train", "--config", file, *options, "--alpha", 0.6, "--json")
    assert result.exit_code == 0, result.output
    folder = Path(json.loads(result.stdout)["run"])
    assert folder == tmp_path / "out/trains/lm_tiny-llama/layer_2/4/random_0/alpha_0.6"
    saved = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    # How clusters are made and what was continued stand there only where they are in force.
    assert set(saved) == METHODS["memory"].options - {"cluster_by", "min_similarity", *OF_CONTINUING}
    assert (saved["alpha"], saved["layer"], saved["allocation"], saved["epochs"]) == (0.6, 2, "random", 2)


@pytest.mark.parametrize(
    ("partition_by", "in_force", "sizes"), [("size", 8, {8}), ("whole", 16, {16}), ("length", 16, {16})]
)
def test_a_run_records_the_entries_that_its_documents_have(
    run: Run, options: list[object], partition_by: str, in_force: int, sizes: set[int]
) -> None:
    result = run("train", *options, "--allocation", "partitioned", "--partition-by", partition_by, "--json")
    assert result.exit_code == 0, result.output
    folder = Path(json.loads(result.stdout)["run"])
    saved = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    assert (saved["partition_by"], saved["entries_per_doc"]) == (partition_by, in_force)
    stored = read_allocation(folder / "allocation.parquet")
    assert ({len(entries) for entries in stored.entries}, stored.partition_by) == (sizes, partition_by)


def test_every_option_of_a_configuration_is_a_flag_and_every_flag_has_help(run: Run) -> None:
    listed = run("train", "--help").stdout
    # `--allocation FILE.parquet` is how the file is named.
    for name in TrainConfig.__dataclass_fields__.keys() - {"allocation_file"}:
        assert flag(name) in listed, name


WRONG = [
    (["--model", "smollm-135m"], "unknown model 'smollm-135m' (did you mean 'smollm2-135m'?)"),
    (["--model", "no/such.gguf"], "--model no/such.gguf: there is no such file"),
    (["--corpus", "jsn:x"], "unknown corpus 'jsn' (did you mean 'jsonl'?)"),
    (["--corpus", "jsonl:no-such.jsonl"], "no-such.jsonl: cannot be read (No such file or directory)"),
    (["--allocation", "simset4"], "unknown allocation 'simset4' (did you mean 'simset"),
    (
        ["--layer", "99"],
        "--layer 99 is out of range: tiny-llama has blocks 0 to 3 (or a fraction below 1, such as 0.75)",
    ),
    (["--layer", "1.5"], "--layer 1.5 is out of range"),
    (["--layer", "top"], "--layer 'top' is not a number"),
    (["--entries-per-doc", "7"], "--entries 64 is not divisible by --entries-per-doc 7"),
    (["--entries-per-doc", "128"], "--entries 64 are fewer than --entries-per-doc 128"),
    (
        ["--allocation", "partitioned", "--entries", "63", "--entries-per-doc", "16"],
        "4 documents or clusters",
    ),
    (["--allocation", "partitioned", "--model", "no/such/folder", "--entries-per-doc", "32"], "need 128 entries"),
    (["--num-docs", "25"], "--num-docs 25: corpus jsonl:"),
    (["--num-docs", "0"], "--num-docs 0: must be at least 1"),
    (["--num-clusters", "5"], "--num-clusters 5: more clusters than documents, of which there are 4"),
    (["--alpha", "-1"], "--alpha -1.0: must be a finite number, 0 or more"),
    (["--alpha", "nan"], "--alpha nan: must be a finite number, 0 or more"),
    (["--alpha", "much"], "Invalid value for '--alpha'"),
    (["--device", "cuda:99"], "--device cuda:99: not there"),
    (["--device", "tpu"], "--device"),
    (["--dtype", "float8"], "unknown dtype 'float8'"),
    (["--max-tokens", "1"], "--max-tokens 1: must be at least 2"),
    (["--group-by", "pargraph"], "pargraph"),
    (["--location", "firm"], "unknown --location 'firm'"),
    (["--activation", "swish"], "unknown --activation 'swish'"),
    (["--inductive-form", "lag"], "unknown --inductive-form 'lag' (did you mean 'log'?)"),
    (["--config", "no-such.yaml"], "no-such.yaml: cannot be read"),
    (["--method", "lroa"], "unknown --method 'lroa' (did you mean 'lora'?)"),
    (["--method", "full"], "--entries 64: --method full does not use it; memory, lora, guidance, sequence-id"),
    (["--guidance-tau", "3"], "--guidance-tau 3.0: --method memory does not use it; guidance does"),
    (["--lora-rank", "2"], "--lora-rank 2: --method memory does not use it; lora does"),
    (["--method", "guidance", "--allocation", "random"], "--allocation random: --method guidance does not use it"),
    (["--method", "guidance", "--guidance-negative", "another"], "unknown --guidance-negative 'another'"),
    (["--method", "sequence-id", "--shared-entries", "0.95"], "--shared-entries 0.95 leaves 3 of 64 entries"),
    (["--method", "sequence-id", "--shared-entries", "1"], "--shared-entries 1.0: must be a share"),
    (["--alhpa", "1"], "No such option: --alhpa", "--alpha"),
    (["extra"], "extra"),
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: " ".join(wrong[0]))
def test_a_wrong_request_is_one_line_and_exit_code_2_and_leaves_nothing(
    run: Run, options: list[object], tmp_path: Path, wrong: tuple[list[str], str]
) -> None:
    arguments, *told = wrong
    assert_one_line(run("train", *options, *arguments), 2, *told)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "empty"),
        (b'{"text": "fine as it is"}\n{"text": "\xff"}\n', "line 2"),
        (b'{"text": "fine as it is"}\n{"text": \n', "line 2"),
        (b'{"text": "fine as it is"}\n\n{"txet": "not a text"}\n', "line 3"),
        (b'{"id": "a", "text": "one and two"}\n{"id": "a", "text": "three and four"}\n', "duplicate document id 'a'"),
    ],
)
def test_a_corpus_file_that_is_wrong_is_told_by_name_and_line(
    run: Run, options: list[object], tmp_path: Path, content: bytes, told: str
) -> None:
    corpus = tmp_path / "bad.jsonl"
    corpus.write_bytes(content)
    assert_one_line(run("train", *options, "--corpus", f"jsonl:{corpus}", "--num-docs", 2), 2, told)
    assert not (tmp_path / "out").exists()


def test_a_folder_of_another_run_is_refused_with_the_ways_out(run: Run, options: list[object]) -> None:
    assert run("train", *options).exit_code == 0
    refused = run("train", *options, "--lr", "1e-4")
    assert_one_line(refused, 2, "lr 0.002 there, 0.0001 asked", "--overwrite replaces it", "--save-dir puts this one")
    assert run("train", *options, "--lr", "1e-4", "--overwrite").exit_code == 0


def test_a_damaged_run_is_one_line(run: Run, options: list[object]) -> None:
    folder = Path(json.loads(run("train", *options, "--json").stdout)["run"])
    (folder / "memory.safetensors").write_bytes(b"damaged")
    assert_one_line(run("train", *options), 2, "memory.safetensors: damaged or exchanged", "train --overwrite")
    (folder / "memory.safetensors").unlink()
    assert_one_line(run("train", *options), 2, "memory.safetensors: missing from the run folder")


def test_a_failure_in_the_work_is_one_line_and_exit_code_1(run: Run, options: list[object]) -> None:
    failed = run("train", *options, "--lr", "1e30", "--grad-clip", "0", "--epochs", "4")
    assert_one_line(failed, 1, "FloatingPointError: loss", "try a lower --lr", "--debug shows the traceback")
    debugged = run("train", *options, "--lr", "1e30", "--grad-clip", "0", "--epochs", "4", "--debug")
    assert debugged.exit_code == 1
    assert "Traceback (most recent call last)" in debugged.stderr


def test_without_a_command_help_is_shown_and_a_wrong_one_gets_a_near_miss(run: Run) -> None:
    shown = run()
    assert shown.exit_code == 2
    assert "leaderboard" in shown.stdout
    assert_one_line(run("trian"), 2, "'trian'", "train")
    assert run("--version").stdout.startswith("simset-bench ")


def test_continue_goes_on_with_new_documents(run: Run, options: list[object], tmp_path: Path) -> None:
    first = run("train", *options).stdout.splitlines()[0]
    corpus = options[3]
    result = run("train", "--continue", first, "--corpus", corpus, "--replay", 0.2, "--save-dir", tmp_path / "out")
    assert result.exit_code == 0, result.output
    folder, summary = result.stdout.splitlines()
    assert folder == str(tmp_path / "out/trains/lm_tiny-llama/layer_3/4/stage_2_replay_0.2/simset2_0/alpha_1.0")
    assert "8 documents, 4 of them new" in summary
    shown = run("eval", folder, "--task", "docmem", "--by", "stage")
    assert [line[:1] for line in shown.stdout.splitlines() if line[:1] in "12"] != []
    assert_one_line(run("train", "--continue", first), 2, "--continue needs --corpus")
    assert_one_line(run("train", "--continue", tmp_path, "--corpus", corpus), 2, "is no run folder")
    again = run("train", "--continue", first, "--corpus", corpus, "--entries", 32)
    assert_one_line(again, 2, "--entries 32", "was trained with 64")
