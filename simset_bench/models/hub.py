"""Looks a model up on the Hugging Face hub and in its local cache."""

from pathlib import Path

from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HFValidationError,
    HTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from simset_bench.errors import RequestError
from simset_bench.strict_json import read_json

WEIGHTS, WEIGHTS_INDEX = "model.safetensors", "model.safetensors.index.json"


def commit_on_hub(repository: str) -> str | None:
    """Commit of a model's main branch on the hub, None where the hub does not answer.

    The hub is asked once, since its client would otherwise try again for a minute.
    Raises RequestError where the hub has no such model, or does not give access to it.
    """
    try:
        return get_hf_file_metadata(hf_hub_url(repository, "config.json")).commit_hash
    except GatedRepoError as error:
        raise RequestError(
            f"model {repository}: the hub wants its terms accepted first, at {constants.ENDPOINT}/{repository}; "
            "then name yourself with `hf auth login`"
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise RequestError(f"model {repository}: no such folder here, and no such model on the hub") from error
    except EntryNotFoundError as error:
        raise RequestError(f"model {repository}: its repository on the hub holds no transformers model") from error
    except (OfflineModeIsEnabled, HTTPError, OSError):
        return None


def commit_in_cache(repository: str) -> str | None:
    """Commit of a model whose configuration and weights are all in the hub's local cache, else None."""
    config, index = _cached(repository, "config.json"), _cached(repository, WEIGHTS_INDEX)
    try:
        weights = {WEIGHTS} if index is None else set(read_json(index)["weight_map"].values())
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        # A damaged index names no weights.
        return None
    if config is None or any(_cached(repository, name) is None for name in weights):
        return None
    return config.parent.name


def _cached(repository: str, name: str) -> Path | None:
    path = try_to_load_from_cache(repository, name)
    return Path(path) if isinstance(path, str) else None
