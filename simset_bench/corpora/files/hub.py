"""`hub:NAME[:CONFIG[:SPLIT]]`: a data set of the Hugging Face hub, streamed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from huggingface_hub import get_hf_file_metadata, hf_hub_url
from huggingface_hub.constants import ENDPOINT
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError, OfflineModeIsEnabled

from simset_bench.corpora.documents import Article, split_paragraphs
from simset_bench.errors import RequestError


def hub_articles(location: str) -> Iterator[Article]:
    """Articles of a hub data set with a column `text`; columns `id`, `title` and `topic` are used where present.

    The split is `train` unless named; rows are streamed, so that the first few cost no whole download. A local folder
    that `datasets` can load may stand for the name. Rows without text are passed over.
    Raises RequestError where the hub cannot be reached or has no such data set, and where that has no such column or
    cannot be read.
    """
    name, _, rest = location.partition(":")
    configuration, _, split = rest.partition(":")
    found = load_from_hub(
        name,
        "vital, squad:FILE, wikitext:FILE, jsonl:FILE or text:FOLDER",
        configuration=configuration or None,
        split=split or "train",
        streaming=True,
    )
    for number, row in _rows(found, location):
        origin = f"hub:{location}, row {number}"
        if not isinstance(row.get("text"), str):
            raise RequestError(f"{origin}: no column `text` with strings, columns are {', '.join(row)}")
        if not row["text"].strip():
            continue
        title, topic = _text(row, "title"), _text(row, "topic")
        identity = _text(row, "id") or title or str(number)
        yield Article(identity, title or identity, split_paragraphs(row["text"]), topic, origin)


def load_from_hub(
    name: str, without_network: str, configuration: str | None = None, *, streaming: bool = False, **options: Any
) -> Any:
    """What `datasets.load_dataset` finds under a name: on the hub, or in the local cache where the hub does not answer.

    Raises RequestError where neither has it, with `without_network`, which says what can be used instead.
    """
    import datasets

    answers = Path(name).is_dir() or _hub_answers(name)
    was_offline = datasets.config.HF_HUB_OFFLINE
    # Not told that there is no network, the client would try for half a minute before it looks into its cache.
    datasets.config.HF_HUB_OFFLINE = was_offline or not answers
    try:
        return datasets.load_dataset(name, configuration, streaming=streaming and answers, **options)
    except _failures() as error:
        if not answers:
            raise RequestError(
                f"hub:{name} needs a network: {ENDPOINT} does not answer, and the local cache does not hold it; "
                f"without a network use {without_network}"
            ) from error
        raise RequestError(f"hub:{name} cannot be loaded ({_reason(error)})") from error
    finally:
        datasets.config.HF_HUB_OFFLINE = was_offline


def _rows(found: Any, location: str) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        yield from enumerate(found, start=1)
    except _failures() as error:
        raise RequestError(f"hub:{location} cannot be read to its end ({_reason(error)})") from error


def _failures() -> tuple[type[Exception], ...]:
    from datasets.exceptions import DatasetsError

    # RuntimeError is for a data set that would have to run code of its own.
    return OSError, ValueError, RuntimeError, DatasetsError


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _hub_answers(name: str) -> bool:
    try:
        get_hf_file_metadata(hf_hub_url(name, "README.md", repo_type="dataset", endpoint=ENDPOINT))
    except (HfHubHTTPError, HFValidationError):
        # What it has against the name, `datasets` says better.
        return True
    except (OfflineModeIsEnabled, HTTPError, OSError):
        return False
    return True


def _text(row: dict[str, Any], column: str) -> str | None:
    value = row.get(column)
    return None if value is None or value == "" else str(value)
