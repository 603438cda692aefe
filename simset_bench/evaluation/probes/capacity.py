"""How much a memory holds: the bits by which it shortens the documents, over its parameters."""

import math

from simset_bench.evaluation.estimates import Scored
from simset_bench.evaluation.probes.records import record, scored
from simset_bench.evaluation.probes.token_scores import ScoredText, token_scores
from simset_bench.evaluation.subject import Subject
from simset_bench.evaluation.task_options import TaskOptions

# Bits of knowledge that a parameter of a language model was found to hold at most (arXiv 2404.05405).
BITS_A_PARAMETER = 2.0


def capacity(subject: Subject, options: TaskOptions) -> Scored:
    """The bits that the memory saves on the documents, over its parameters.

    The bits saved on a document are the fall of its NLL, summed over its tokens, over ln 2.
    - `bits_per_token`: over the documents' tokens
    - `bits_memorised`: of all documents; with `--limit` those asked about stand for the others, by their tokens
    - `bits_per_parameter`: over the memory's parameters
    - `capacity_used`: over the 2 bits of knowledge a parameter of arXiv 2404.05405. GPT models were found to hold 3.6
      bits a parameter of raw sequences without any structure (arXiv 2505.24832): by that yardstick it is 0.56 of this.
      Neither yardstick is for what is measured here, text of which the base predicts much already
    """
    segments = subject.segments(subject.documents)
    tokens = [len(segment.token_ids) - segment.specials - 1 for segment in segments]
    limit = len(subject.documents) if options.limit is None else options.limit
    rows = [row for row, segment in enumerate(segments) if segment.document < limit and tokens[row]]
    texts = [
        ScoredText(segments[row].token_ids, segments[row].specials + 1, subject.documents[segments[row].document].id)
        for row in rows
    ]
    with_memory = token_scores(subject.lm.base, texts, subject.memory_at_work(options.recall))
    without = token_scores(subject.lm.base, texts, None)
    parameters = sum(parameter.numel() for parameter in subject.memory_run.memory.parameters())
    records = []
    for row, after, before in zip(rows, with_memory, without, strict=True):
        segment = segments[row]
        document = subject.documents[segment.document]
        bits = float((before.nll - after.nll).sum()) / math.log(2) / tokens[row]
        # Each record says what all documents would give if they were like this one.
        values = {"bits_per_token": bits, "bits_memorised": bits * sum(tokens)}
        values["bits_per_parameter"] = values["bits_memorised"] / parameters
        values["capacity_used"] = values["bits_per_parameter"] / BITS_A_PARAMETER
        name = f"{document.id}#{segment.number}"
        records.append(record(document, name, segment.text, values, tokens=tokens[row]))
    return scored(records)
