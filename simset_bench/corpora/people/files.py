"""A corpus of invented people as files that any other tool can read."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from simset_bench.corpora.documents import ClosedFact, Document
from simset_bench.corpora.people.draws import draws
from simset_bench.corpora.people.figures import FamilySimilarity, bits_of_facts
from simset_bench.corpora.people.options import PeopleOptions
from simset_bench.corpora.people.tables import VALUES
from simset_bench.errors import RequestError
from simset_bench.files import clear_leftovers, held_folder, write_text

DOCUMENTS, FACTS = "documents.jsonl", "facts.jsonl"
_TITLE = "# Invented people"
_UNFINISHED = "Unfinished: the same command finishes it."


def write_people(
    folder: Path, spec: str, options: PeopleOptions, documents: Sequence[Document], similarity: FamilySimilarity
) -> None:
    """Write `documents.jsonl`, `facts.jsonl` (ROME's record format with candidates added) and `README.md`, the last.

    Raises RequestError for a folder that has a file by one of these names which this did not write, HeldElsewhere where
    another process is writing it.
    """
    readme = folder / "README.md"
    with held_folder(folder, ".lock", f"--write {folder}: another process is writing it"):
        for name in (DOCUMENTS, FACTS, "README.md"):
            if (folder / name).exists() and not _is_ours(folder):
                raise RequestError(f"--write {folder}: holds a {name} of another kind; name a new folder")
            clear_leftovers(folder / name)
        # It says whose folder this is, also after a kill among the writes.
        write_text(readme, f"{_TITLE}\n\n{_UNFINISHED}\n")
        _write_lines(folder / DOCUMENTS, [_document_record(document) for document in documents])
        facts = [fact_record(fact, document.id) for document in documents for fact in document.facts]
        _write_lines(folder / FACTS, facts)
        write_text(readme, _readme(spec, options, documents, similarity))


def is_written(folder: Path) -> bool:
    """Whether a folder holds a corpus that `write_people` has written to the end."""
    files = all((folder / name).is_file() for name in (DOCUMENTS, FACTS))
    return files and _is_ours(folder) and _UNFINISHED not in (folder / "README.md").read_text(encoding="utf-8")


def _is_ours(folder: Path) -> bool:
    try:
        return (folder / "README.md").read_text(encoding="utf-8").startswith(_TITLE)
    except (OSError, ValueError):
        return False


def _write_lines(path: Path, records: Sequence[dict[str, Any]]) -> None:
    write_text(path, "".join(f"{json.dumps(record, ensure_ascii=False)}\n" for record in records))


def _document_record(document: Document) -> dict[str, Any]:
    return {"id": document.id, "title": document.title, "topic": document.topic, "text": document.text}


def fact_record(fact: ClosedFact, document: str) -> dict[str, Any]:
    """A fact as a CounterFact record; the new target is another candidate, drawn by the fact's id."""
    others = [candidate for candidate in fact.candidates if candidate != fact.value]
    return {
        "case_id": fact.id,
        "document": document,
        "requested_rewrite": {
            "prompt": fact.stated.text.replace(fact.subject, "{}", 1),
            "relation_id": fact.attribute,
            "subject": fact.subject,
            "target_true": {"str": fact.value},
            "target_new": {"str": others[draws(1, "new target", fact.id)[0] % len(others)]},
        },
        "paraphrase_prompts": [prompt.text for prompt in fact.paraphrases],
        "neighborhood_prompts": [],
        "question": fact.questions[0],
        "questions": list(fact.questions),
        "candidates": list(fact.candidates),
    }


def _readme(spec: str, options: PeopleOptions, documents: Sequence[Document], similarity: FamilySimilarity) -> str:
    facts = sum(len(document.facts) for document in documents)
    bits = bits_of_facts(documents, options.values)
    within, between = (
        "no such pair" if mean is None else f"{mean:.4f}" for mean in (similarity.within, similarity.between)
    )
    return f"""{_TITLE}

Written by simset-bench from the corpus `{spec}`. None of these people exists.

- `documents.jsonl`: {len(documents)} documents, one a person, with `id`, `title` (the name), `topic` (the family) and
  `text` ({options.texts} a person).
- `facts.jsonl`: {facts} facts in the record format of CounterFact, with the `candidates` among which the true target
  was drawn, all `questions`, and the `document` that states the fact.

| figure | value |
| --- | --- |
| seed of the generator | {options.seed} |
| first person | {options.start} |
| people in a family | {options.family} |
| chance of the family's wording | {options.wording:g} |
| chance of the family's value | {options.values:g} |
| values of an attribute, uniform | {VALUES} |
| bits of one fact on its own | {math.log2(VALUES):g} |
| bits of all facts together | {bits:.1f} |
| mean Jaccard similarity of word 2-shingles within families | {within} |
| the same between families | {between} |
"""
