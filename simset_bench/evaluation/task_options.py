"""How one task is asked: the options that its rows, or its probe, depend on."""

from dataclasses import dataclass

# A source of text: the documents of the run's own corpus that it has not memorised.
SAME_CORPUS = "corpus"


@dataclass(frozen=True)
class TaskOptions:
    """The recall mode, the source that the task reads beside the documents, and the most that it asks about.

    `source` is empty for a task that reads none. `limit` counts documents, records or questions, whichever the task
    asks about; None sets no limit.
    """

    recall: str = "free"
    source: str = ""
    limit: int | None = None
