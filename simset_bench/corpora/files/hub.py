"""Opens a data set of the Hugging Face hub, with one clear error where that fails."""

import lzma
import os
import zlib
from pathlib import Path
from typing import Any

import yaml

from simset_bench.errors import RequestError

# Files of a folder that `save_to_disk` wrote: of one data set, or of its splits.
_SAVED = ("state.json", "dataset_dict.json")

# What files of Arrow's other format, which have a footer, begin with, and what a stream ends with.
_ARROW_FILE = b"ARROW1"
_END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"


def load_from_hub(
    name: str, without_network: str, configuration: str | None = None, *, streaming: bool = False, **options: Any
) -> Any:
    """The data set of a name, by `datasets.load_dataset`: from the hub, or from the local cache if the hub is silent.

    A folder that `save_to_disk` wrote is read too; without splits of its own it is the split `train`.
    Raises RequestError where neither has it; `without_network` tells the user what to use instead.
    """
    import datasets
    from huggingface_hub.constants import ENDPOINT

    # Otherwise its own lines would stand beside the one that says what is wrong.
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    _check_arrow_files(Path(name))
    if any((Path(name) / mark).is_file() for mark in _SAVED):
        return _saved_to_disk(name, options.get("split"))
    is_folder = Path(name).is_dir()
    if not is_folder and name in datasets.packaged_modules._PACKAGED_DATASETS_MODULES:
        # `datasets` would read all files below the working folder.
        raise RequestError(f"hub:{name}: there is no such folder, and {name} is a format, no data set of the hub")
    answers = is_folder or _hub_answers(name)
    was_offline = datasets.config.HF_HUB_OFFLINE
    # Unless told that there is no network, the client tries for half a minute before it looks into its cache.
    datasets.config.HF_HUB_OFFLINE = was_offline or not answers
    try:
        # Absolute, since a folder may be called like a format.
        path = str(Path(name).absolute()) if is_folder else name
        return datasets.load_dataset(path, configuration, streaming=streaming and answers, **options)
    except hub_failures() as error:
        if not answers:
            raise RequestError(
                f"hub:{name} needs a network: {ENDPOINT} does not answer, and the local cache does not hold it; "
                f"without a network use {without_network}"
            ) from error
        raise RequestError(f"hub:{name} cannot be loaded ({reason_of(error)})") from error
    finally:
        datasets.config.HF_HUB_OFFLINE = was_offline


def _check_arrow_files(folder: Path) -> None:
    """Raise RequestError for a stream of Arrow's without its end, which `datasets` reads as if it were whole."""
    for path in sorted(folder.rglob("*.arrow")):
        with path.open("rb") as file:
            is_stream = file.read(len(_ARROW_FILE)) != _ARROW_FILE
            file.seek(-min(len(_END_OF_STREAM), path.stat().st_size), os.SEEK_END)
            if is_stream and file.read() != _END_OF_STREAM:
                raise RequestError(f"{path}: cut short (the end of an Arrow stream is missing)")


def _saved_to_disk(name: str, split: str | None) -> Any:
    import datasets

    try:
        saved = datasets.load_from_disk(name)
    except hub_failures() as error:
        raise RequestError(f"hub:{name} cannot be loaded ({reason_of(error)})") from error
    splits = saved if isinstance(saved, dict) else {str(saved.split or "train"): saved}
    if split is None:
        return splits
    if split not in splits:
        raise RequestError(f"hub:{name}: there is no split {split!r}, only {', '.join(splits)}")
    return splits[split]


def hub_failures() -> tuple[type[Exception], ...]:
    """The exceptions that `datasets` raises where a data set cannot be read."""
    from datasets.exceptions import DatasetsError

    # RuntimeError comes from a data set that would have to run code of its own, TypeError and NotImplementedError from
    # files that disagree about a column, StopIteration and LookupError from an empty one, ImportError from pictures,
    # YAMLError from a README, the last three from a damaged file.
    kinds = (OSError, ValueError, RuntimeError, TypeError, NotImplementedError, StopIteration, DatasetsError)
    return *kinds, LookupError, ImportError, yaml.YAMLError, EOFError, zlib.error, lzma.LZMAError


def reason_of(error: Exception) -> str:
    """The message of an error on one line."""
    return " ".join(str(error).split())[:300] or "it has no rows"


def _hub_answers(name: str) -> bool:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.constants import ENDPOINT
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError, OfflineModeIsEnabled

    try:
        get_hf_file_metadata(hf_hub_url(name, "README.md", repo_type="dataset", endpoint=ENDPOINT))
    except (HfHubHTTPError, HFValidationError):
        # The hub answered; `datasets` explains better what is wrong with the name.
        return True
    except (OfflineModeIsEnabled, HTTPError, OSError):
        return False
    return True
