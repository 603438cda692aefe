"""`hub:NAME[:CONFIG[:SPLIT]]`: a data set of the Hugging Face hub, streamed."""

import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from huggingface_hub.constants import ENDPOINT, HF_HUB_OFFLINE

from simset_bench.corpora.articles import Article, split_paragraphs
from simset_bench.errors import RequestError

_PATIENCE_SECONDS = 10


def hub_articles(location: str) -> Iterator[Article]:
    """Articles of a hub data set with a column `text`; columns `id`, `title` and `topic` are used where present.

    The split is `train` unless named; rows are streamed, so that the first few cost no whole download. A local folder
    that `datasets` can load may stand for the name. Rows without text are passed over.
    Raises RequestError where the hub cannot be reached, has no such data set, or that has no such column.
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
    for number, row in enumerate(found, start=1):
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

    answers = Path(name).is_dir() or _hub_answers()
    was_offline = datasets.config.HF_HUB_OFFLINE
    # Not told that there is no network, the client would try for half a minute before it looks into its cache.
    datasets.config.HF_HUB_OFFLINE = was_offline or not answers
    try:
        return datasets.load_dataset(name, configuration, streaming=streaming and answers, **options)
    # RuntimeError is for a data set that would have to run code of its own.
    except (OSError, ValueError, RuntimeError) as error:
        if not answers:
            raise RequestError(
                f"hub:{name} needs a network: {ENDPOINT} does not answer, and the local cache does not hold it; "
                f"without a network use {without_network}"
            ) from error
        raise RequestError(f"hub:{name} cannot be loaded ({' '.join(str(error).split())[:300]})") from error
    finally:
        datasets.config.HF_HUB_OFFLINE = was_offline


def _hub_answers() -> bool:
    if HF_HUB_OFFLINE:
        return False
    try:
        urllib.request.urlopen(urllib.request.Request(ENDPOINT, method="HEAD"), timeout=_PATIENCE_SECONDS).close()
    except urllib.error.HTTPError:
        return True
    except OSError as error:
        # The hub's client brings certificates that this machine may lack.
        return isinstance(getattr(error, "reason", None), ssl.SSLError)
    return True


def _text(row: dict[str, Any], column: str) -> str | None:
    value = row.get(column)
    return None if value is None or value == "" else str(value)
