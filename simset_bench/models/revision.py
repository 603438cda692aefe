"""What a base is: its commit on the hub, or hashes of the files in its folder that decide what it computes.

A folder's revision is `sha256:WEIGHTS:FILES`. Revisions of version 1, which runs of before have, are `sha256:WEIGHTS`:
they say nothing of the other files, and are compared by their weights alone.
"""

from pathlib import Path

from simset_bench.files import sha256_of_file, sha256_of_texts

# A base that was not loaded with its weights.
UNKNOWN = "unknown"
_WEIGHTS = "*.safetensors"
# What transformers reads beside the weights: configuration, generation, tokenizer and chat templates.
_FILES = (
    "config.json",
    "generation_config.json",
    "adapter_config.json",
    "*.safetensors.index.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab*",
    "merges.txt",
    "*.model",
    "*.tiktoken",
    "tekken.json",
    "chat_template*",
    "additional_chat_templates/*",
)


def revision_of_folder(folder: Path) -> str:
    """The revision of a folder's files."""
    weights = sha256_of_texts([sha256_of_file(path) for path in sorted(folder.glob(_WEIGHTS))])
    return f"sha256:{weights}:{_hash_of_others(folder)}"


def revision_of_conversion(revision: str, made_of: str) -> str:
    """The revision of a model whose folder of `revision` was converted from a file that `made_of` identifies.

    It stands for the files beside the weights: what transformers writes for one model changes with its version.
    """
    return f"{revision.rpartition(':')[0]}:{made_of}"


def _hash_of_others(folder: Path) -> str:
    paths = {path for pattern in _FILES for path in folder.glob(pattern) if path.is_file()}
    names = sorted((path.relative_to(folder).as_posix(), path) for path in paths)
    return sha256_of_texts([part for name, path in names for part in (name, sha256_of_file(path))])


def changed_since(there: str, now: str) -> str | None:
    """What differs between two revisions of a base, in words; None where they are the same as far as both tell."""
    if there == now or UNKNOWN in (there, now):
        return None
    before, after = there.split(":"), now.split(":")
    if not before[0] == after[0] == "sha256":
        return "its commit"
    if before[1] != after[1]:
        return "its weights"
    # A revision of version 1 has nothing more to compare.
    is_other = before[2:] and after[2:] and before[2:] != after[2:]
    return "its configuration, generation or tokenizer files" if is_other else None
