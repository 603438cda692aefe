"""Documents whose similarity is known because it was planted."""

from collections.abc import Callable, Sequence

import pytest

from simset_bench.corpora.documents import Document
from simset_bench.corpora.load import load_corpus

MakeDocuments = Callable[[Sequence[str]], list[Document]]


@pytest.fixture(scope="session")
def documents_of() -> MakeDocuments:
    """Documents of texts, in their order."""
    return lambda texts: [Document(f"d{number}", f"Title {number}", text) for number, text in enumerate(texts)]


@pytest.fixture(scope="session")
def tiny_documents(tiny_corpus: object) -> list[Document]:
    """The 24 documents of the tiny corpus, of which 6 have a near-copy."""
    return load_corpus(f"jsonl:{tiny_corpus}")


@pytest.fixture(scope="session")
def planted_pairs(documents_of: MakeDocuments) -> Callable[[int, int, int], list[Document]]:
    """Pairs of documents, one after the other, that share their first words and no word with other pairs.

    Of `pairs` pairs, each document has `shared` words that its partner has too and then `own` words of its own.
    """

    def planted(pairs: int, shared: int, own: int) -> list[Document]:
        texts = []
        for pair in range(pairs):
            common = [f"w{pair}c{place}" for place in range(shared)]
            for side in "xy":
                texts.append(" ".join([*common, *(f"w{pair}{side}{place}" for place in range(own))]))
        return documents_of(texts)

    return planted
