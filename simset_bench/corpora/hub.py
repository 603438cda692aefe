"""`hub:NAME[:CONFIG[:SPLIT]]`: a data set of the Hugging Face hub, streamed."""

from collections.abc import Iterator

from simset_bench.corpora.articles import Article, split_paragraphs
from simset_bench.errors import RequestError


def hub_articles(location: str) -> Iterator[Article]:
    """Articles of a hub data set with a column `text`; columns `id`, `title` and `topic` are used where present.

    The split is `train` unless named; rows are streamed, so that the first few cost no whole download.
    Raises RequestError where the hub cannot be reached or the data set has no such column.
    """
    import datasets

    name, _, rest = location.partition(":")
    configuration, _, split = rest.partition(":")
    try:
        rows = datasets.load_dataset(name, configuration or None, split=split or "train", streaming=True)
        for number, row in enumerate(rows):
            if not isinstance(row.get("text"), str):
                raise RequestError(f"hub:{location}: no column `text` with strings, columns are {', '.join(row)}")
            if not row["text"].strip():
                continue
            identity = str(row.get("id") or row.get("title") or number)
            title = str(row.get("title") or identity)
            yield Article(identity, title, split_paragraphs(row["text"]), row.get("topic"), f"hub:{location}, {number}")
    except (OSError, ValueError, datasets.exceptions.DatasetNotFoundError) as error:
        if isinstance(error, RequestError):
            raise
        reason = " ".join(str(error).split())[:200]
        raise RequestError(
            f"corpus hub:{location} cannot be had from the hub ({reason}); without a network use vital, squad:FILE, "
            "wikitext:FILE, jsonl:FILE or text:FOLDER"
        ) from error
