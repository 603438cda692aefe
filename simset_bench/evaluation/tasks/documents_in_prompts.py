"""Rows with a document before their prompt: the document that they are about, or the one that retrieval finds."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from simset_bench.console import note
from simset_bench.corpora.documents import Document
from simset_bench.evaluation.estimates import Scored, mean_with_error
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.tasks.documents import token_ends
from simset_bench.evaluation.tasks.rows import Row
from simset_bench.simset.routers import bm25, check_bm25s

_BETWEEN_DOCUMENT_AND_PROMPT = "\n\n"
# Tokens that are kept free for an answer, and for tokens that merging at borders adds.
_ROOM = 72

Choose = Callable[[Row], Document | None]


def _own(documents: Sequence[Document]) -> Choose:
    by_id = {document.id: document for document in documents}
    return lambda row: by_id.get(row.get("document") or "")


def _best(documents: Sequence[Document]) -> Choose:
    check_bm25s("--method retrieval")
    find = bm25(documents)
    return lambda row: find(row.get("query") or row["prompt"])


CONTEXTS: dict[str, Callable[[Sequence[Document]], Choose]] = {"in-context": _own, "retrieval": _best}


def with_contexts(
    lm: MemoryLM, method: str, documents: Sequence[Document], rows: dict[str, list[Row]]
) -> dict[str, list[Row]]:
    """Rows as a method asks them: under `in-context` and `retrieval` with a document's text before the prompt.

    Retrieval looks up a row's `query`, or its whole prompt where it has no query; worked examples before a question are
    about other things. The rows keep the prompt without the document (`bare_prompt`) and the document's id (`context`),
    None where no document stands there: for a sample about no memorised document, a prompt that shares no word with
    any document, or where there is no room. A document that does not fit into the model's context beside the prompt is
    cut at its end, and a note says so.
    """
    if method not in CONTEXTS:
        return rows
    choose = CONTEXTS[method](documents)
    cut = 0
    changed: dict[str, list[Row]] = {}
    for part, bare in rows.items():
        changed[part] = []
        for row in bare:
            document = choose(row)
            context = _fitting(lm, row, document.text) if document else ""
            cut += document is not None and context != document.text
            changed[part].append(_with_context(lm, row, document, context))
    if cut:
        note(f"{method}: {cut} prompts have room for the beginning of a document only")
    return changed


def _fitting(lm: MemoryLM, row: Row, text: str) -> str:
    longest = max([row.get("target") or "", *row.get("choices", [])], key=len)
    room = lm.max_length - len(lm.tok_encode(row["prompt"] + longest)) - _ROOM
    ends = token_ends(text, lm.base.tokenizer)
    return text if len(ends) <= room else text[: ends[room - 1]] if room > 0 else ""


def _with_context(lm: MemoryLM, row: Row, document: Document | None, context: str) -> Row:
    prompt = f"{context}{_BETWEEN_DOCUMENT_AND_PROMPT}{row['prompt']}" if context else row["prompt"]
    changed = row | {
        "prompt": prompt,
        "bare_prompt": row["prompt"],
        "context": document.id if document and context else None,
    }
    if "tokens" in row:
        counted = [lm.continuation_tokens(prompt, each) for each in row.get("choices", [row.get("target")])]
        changed["tokens"] = counted if "choices" in row else counted[0]
    return changed


def with_retrieval(scored: Scored, rows: Sequence[Row], documents: Sequence[Document]) -> Scored:
    """Adds `retrieval_at_1`: of the rows about memorised documents, the share that has the right document before it.

    Scores of rows about no memorised document stay as they are.
    """
    memorised = {document.id for document in documents}
    about = [row for row in rows if row.get("document") in memorised]
    if not about:
        return scored
    right = [float(row["context"] == row["document"]) for row in about]
    estimate = mean_with_error(right, [row["document"] for row in about])
    return replace(scored, estimates=scored.estimates | {"retrieval_at_1": estimate})
