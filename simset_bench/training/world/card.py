"""The card of a world model: what it is, what it read, and what its checks found."""

from collections.abc import Sequence

from simset_bench.models.presets import world_name
from simset_bench.training.world.checks import Check
from simset_bench.training.world.recipe import Recipe


def model_card(kind: str, size: str, recipe: Recipe, leads: int, seed: int, lang: str, found: Sequence[Check]) -> str:
    """A README.md for the folder of a world model, with the head that model cards have."""
    rows = "\n".join(
        f"| {check.people} | {check.form} | {check.facts} | {check.bits:.2f} | {check.accuracy:.3f} | "
        f"{check.exact_match:.3f} |"
        for check in found
    )
    return f"""---
library_name: transformers
language: {lang}
pipeline_tag: text-generation
tags: [simset-bench, synthetic]
---
# {world_name(kind, size)}

A causal LM of type {kind}, {recipe.size.blocks} blocks of width {recipe.size.width}, made by `simset-bench pretrain`.
It has learned to recall facts about people from its weights, and knows nobody of a `people:` corpus. It is an
instrument for experiments on memory, not an assistant: it speaks of people who do not exist.

It read {recipe.people} invented people {recipe.times} times each, in biographies and in separate texts of questions,
{recipe.people // 2 * recipe.times} more people once, and {leads} leads of English Wikipedia articles (`vital`,
CC BY-SA 4.0). Seed {seed}.

| people | form | facts | bits of 5 | accuracy | exact match |
| --- | --- | --- | --- | --- | --- |
{rows}

`known` people were seen often; `strange` ones are of a corpus. `stated` and `paraphrase` are sentences cut before the
value, `question` is a question; bits are log2 32 + log2 of the true value's share among the 32 candidates.
"""
