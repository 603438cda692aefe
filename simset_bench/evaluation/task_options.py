"""How one task is asked: the options that its rows, or its probe, depend on."""

from dataclasses import dataclass

# Fields of a row by which its samples are grouped, and all groups of measures that a result may have.
GROUPED_BY = ("relation", "popularity", "label", "relatives")
# Of samples that a router found a document for: the similarity of their own to the most similar other one.
BY_SIMILARITY = "similarity"
# Of samples about documents of a run that was continued: the stage, from 1 on, that added the document.
BY_STAGE = "stage"
GROUPS = (*GROUPED_BY, "position", "steps", BY_SIMILARITY, BY_STAGE)

# What the pairs of a question-answer fine-tuning share with no probe: `--qa-disjoint`.
SUBJECTS, TARGETS = DISJOINT = ("subjects", "targets")

# The source of text that is the run's own corpus without the memorised documents.
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
