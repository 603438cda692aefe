"""What the Hugging Face hub, or its local cache, has of a model."""

import json
from pathlib import Path

from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    HTTPError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
)

from simset_bench.errors import RequestError

WEIGHTS, WEIGHTS_INDEX = "model.safetensors", "model.safetensors.index.json"


def hub_has(repository: str) -> bool:
    """Whether the hub has a model; False where it does not answer. It is asked once: a client left to itself retries
    for a minute.

    Raises RequestError where the hub has no such model, or does not let us have it.
    """
    try:
        get_hf_file_metadata(hf_hub_url(repository, "config.json"))
    except GatedRepoError as error:
        raise RequestError(
            f"model {repository}: the hub wants its terms accepted first, at {constants.ENDPOINT}/{repository}; "
            "then name yourself with `hf auth login`"
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise RequestError(f"model {repository}: no such folder here, and no such model on the hub") from error
    except RemoteEntryNotFoundError as error:
        raise RequestError(f"model {repository}: its repository on the hub holds no transformers model") from error
    except (OfflineModeIsEnabled, HTTPError, OSError):
        return False
    return True


def in_hub_cache(repository: str) -> bool:
    """Whether the hub's local cache holds the configuration and all weights of a model."""
    if _cached(repository, "config.json") is None:
        return False
    index = _cached(repository, WEIGHTS_INDEX)
    if index is None:
        return _cached(repository, WEIGHTS) is not None
    shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    return all(_cached(repository, shard) is not None for shard in shards)


def _cached(repository: str, name: str) -> Path | None:
    found = try_to_load_from_cache(repository, name)
    return Path(found) if isinstance(found, str) else None
