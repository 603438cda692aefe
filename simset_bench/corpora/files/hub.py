"""Opens a data set of the Hugging Face hub, with one clear error where that fails."""

from pathlib import Path
from typing import Any

from huggingface_hub import get_hf_file_metadata, hf_hub_url
from huggingface_hub.constants import ENDPOINT
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError, OfflineModeIsEnabled

from simset_bench.errors import RequestError


def load_from_hub(
    name: str, without_network: str, configuration: str | None = None, *, streaming: bool = False, **options: Any
) -> Any:
    """The data set of a name, by `datasets.load_dataset`: from the hub, or from the local cache if the hub is silent.

    Raises RequestError where neither has it; `without_network` tells the user what to use instead.
    """
    import datasets

    answers = Path(name).is_dir() or _hub_answers(name)
    was_offline = datasets.config.HF_HUB_OFFLINE
    # Unless told that there is no network, the client tries for half a minute before it looks into its cache.
    datasets.config.HF_HUB_OFFLINE = was_offline or not answers
    try:
        return datasets.load_dataset(name, configuration, streaming=streaming and answers, **options)
    except hub_failures() as error:
        if not answers:
            raise RequestError(
                f"hub:{name} needs a network: {ENDPOINT} does not answer, and the local cache does not hold it; "
                f"without a network use {without_network}"
            ) from error
        raise RequestError(f"hub:{name} cannot be loaded ({reason_of(error)})") from error
    finally:
        datasets.config.HF_HUB_OFFLINE = was_offline


def hub_failures() -> tuple[type[Exception], ...]:
    """The exceptions that `datasets` raises where a data set cannot be read."""
    from datasets.exceptions import DatasetsError

    # RuntimeError comes from a data set that would have to run code of its own.
    return OSError, ValueError, RuntimeError, DatasetsError


def reason_of(error: Exception) -> str:
    """The message of an error on one line."""
    return " ".join(str(error).split())[:300]


def _hub_answers(name: str) -> bool:
    try:
        get_hf_file_metadata(hf_hub_url(name, "README.md", repo_type="dataset", endpoint=ENDPOINT))
    except (HfHubHTTPError, HFValidationError):
        # The hub answered; `datasets` explains better what is wrong with the name.
        return True
    except (OfflineModeIsEnabled, HTTPError, OSError):
        return False
    return True
