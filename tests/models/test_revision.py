"""What identifies a base: every file that decides what it computes, and nothing else."""

import shutil
from pathlib import Path

import pytest

from simset_bench.files import sha256_of_file, sha256_of_texts
from simset_bench.models.revision import changed_since, revision_of_folder

OTHERS = "its configuration, generation or tokenizer files"


@pytest.fixture
def folder(tiny_llama: Path, tmp_path: Path) -> Path:
    """A copy of a tiny Llama that a test may change."""
    return Path(shutil.copytree(tiny_llama, tmp_path / "model"))


@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "tokenizer.model",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.json",
        "vocab.txt",
        "merges.txt",
        "spiece.model",
        "chat_template.jinja",
        "additional_chat_templates/tool_use.jinja",
        "adapter_config.json",
    ],
)
def test_every_file_that_changes_a_figure_changes_the_revision(folder: Path, name: str) -> None:
    before = revision_of_folder(folder)
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    path.write_text(text + " ", encoding="utf-8")
    assert changed_since(before, revision_of_folder(folder)) == OTHERS
    path.write_text(text, encoding="utf-8")
    if not text:
        path.unlink()
    assert revision_of_folder(folder) == before


@pytest.mark.parametrize("name", ["README.md", "pytorch_model.bin", "training_args.bin", "trainer_state.json"])
def test_files_that_nothing_reads_leave_the_revision(folder: Path, name: str) -> None:
    before = revision_of_folder(folder)
    (folder / name).write_text("anything", encoding="utf-8")
    assert revision_of_folder(folder) == before


def test_a_revision_of_before_is_compared_by_its_weights(folder: Path) -> None:
    now = revision_of_folder(folder)
    weights = folder / "model.safetensors"
    earlier = f"sha256:{sha256_of_texts([sha256_of_file(weights)])}"
    assert changed_since(earlier, now) is None
    assert changed_since(now, earlier) is None
    other = f"sha256:{sha256_of_texts(['other'])}"
    assert changed_since(other, now) == "its weights"


def test_commits_are_compared_whole_and_the_unknown_with_nothing(folder: Path) -> None:
    now = revision_of_folder(folder)
    assert changed_since("0a1b", "0a1b") is None
    assert changed_since("0a1b", "0a1c") == changed_since("0a1b", now) == "its commit"
    assert changed_since("unknown", now) is None
    assert changed_since(now, "unknown") is None
