"""What a board says of a run that was continued, and of one that was made to forget documents."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from simset_bench.corpora.people.options import without_draw
from simset_bench.strict_json import brief
from simset_bench.training.chain import FORGOT, Stage, forgotten_by

# The number of trainings, 1 for a run that was trained at once, and the earlier ones in words.
STAGES_COLUMN, EARLIER = "stages", "earlier_stages"
# How many documents it was made to forget, and in how many steps shared entries were refitted.
FORGOTTEN = "forgotten"
# Options that a configuration names only where they are in force, and what they are otherwise.
WITHOUT_CHAIN = {"replay": 0.0, "protect": False}
# Where a run lies and on what device it was trained says nothing of what it is.
OF_PLACES = ("device", "continued_from")
_NOT_COMPARED = (*OF_PLACES, "corpus", "num_docs", "num_clusters", "mem_seed", "seed")


def earlier_stages(chain: Sequence[Stage], last: Mapping[str, Any]) -> str | None:
    """The trainings before a run, as in `9 x people:count=10 (10 documents)`; None for a run trained at once.

    Options in which one differs from the `last` configuration are named, but for seeds and places.
    """
    # What `last` does not name, its method does not use.
    compared = {*last, *WITHOUT_CHAIN} - {*_NOT_COMPARED}
    texts = []
    for stage in chain:
        differing = [
            f"{name} {brief(value)}"
            for name, value in stage.config.items()
            if name in compared and value != last.get(name, WITHOUT_CHAIN.get(name))
        ]
        gone = [f"{len(stage.forgotten)} forgotten"] if stage.forgotten else []
        about = ", ".join([f"{len(stage.documents)} documents", *gone, *differing])
        texts.append(f"{without_draw(stage.corpus.corpus)[0]} ({about})")
    runs = [(text, len(list(alike))) for text, alike in groupby(texts)]
    return "; ".join(f"{count} x {text}" if count > 1 else text for text, count in runs) or None


def forgotten_documents(manifest: Mapping[str, Any]) -> str:
    """What a run was made to forget, as in `1 (100 steps)`; `0` for one that forgot nothing on purpose."""
    records = manifest.get(FORGOT, [])
    return "; ".join(f"{len(each['documents'])} ({each['steps']} steps)" for each in records) or "0"


def with_all_documents(
    config: Mapping[str, Any], chain: Sequence[Stage], manifest: Mapping[str, Any]
) -> dict[str, Any]:
    """The options of a run with the numbers of all documents and clusters that its memory holds.

    Those of the configuration are what its own stage added.
    """
    changed = sum(len(stage.documents) for stage in chain) - len(forgotten_by(manifest))
    counts = {name: config[name] for name in ("num_docs", "num_clusters") if config.get(name) is not None}
    return dict(config) | {name: manifest.get("documents", count + changed) for name, count in counts.items()}


def all_draws(chain: Sequence[Stage], last: str | None) -> str | None:
    """Which invented people each stage of a chain drew, where `last` says it of the last one."""
    draws = [*(without_draw(stage.corpus.corpus)[1] for stage in chain), last]
    return "; ".join(each for each in draws if each) or last if chain else last
