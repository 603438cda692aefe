"""Corpora of many short documents, as files."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

MakeCorpus = Callable[..., Path]


@pytest.fixture
def make_corpus(tmp_path: Path) -> MakeCorpus:
    """Write a `jsonl:` corpus of `count` documents, ids d0, d1, ...; the texts of 2n and 2n + 1 differ in one word."""

    def made(count: int, name: str = "corpus.jsonl", first: int = 0) -> Path:
        path = tmp_path / name
        lines = [{"id": f"d{n}", "text": _text(n // 2, n % 2)} for n in range(first, first + count)]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        return path

    return made


def _text(pair: int, variant: int) -> str:
    words = [f"w{pair}x{place}" for place in range(30)]
    words[7] = f"variant{variant}"
    return " ".join(words)
