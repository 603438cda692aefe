"""BM25 over the memorised documents."""

from collections.abc import Sequence

from simset_bench.corpora.documents import Document
from simset_bench.errors import missing_extra
from simset_bench.simset.shingles import words_of


class DocumentIndex:
    """The documents that memorised text is looked up in, by BM25 as Lucene computes it (bm25s, arXiv 2407.03618).

    Words are those of `words_of`. Raises RequestError where bm25s is not installed.
    """

    def __init__(self, documents: Sequence[Document]) -> None:
        try:
            import bm25s
        except ImportError as error:
            raise missing_extra("bm25s", "--method retrieval", "baselines") from error
        self._documents = documents
        self._index = bm25s.BM25(method="lucene")
        self._index.index([words_of(document.text) or [""] for document in documents], show_progress=False)

    def best(self, text: str) -> Document | None:
        """The document that fits `text` best, the first of equal ones; None where no word is in any."""
        words = words_of(text)
        scores = self._index.get_scores(words) if words else []
        best = max(range(len(scores)), key=scores.__getitem__, default=None)
        return None if best is None or not scores[best] > 0 else self._documents[best]
