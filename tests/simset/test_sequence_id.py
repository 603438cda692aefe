"""Entries by a document's identity."""

from simset_bench.corpora.documents import Document
from simset_bench.simset.sequence_id import identity_entries


def test_an_identity_has_the_same_entries_whatever_documents_there_are() -> None:
    def entries(*ids: str, seed: int = 0) -> list[list[int]]:
        documents = [Document(each, "", "text") for each in ids]
        return [own.tolist() for own in identity_entries(documents, 64, 8, seed, 0.5).entries]

    (alone,) = entries("mill")
    assert entries("ferry", "mill")[1] == alone == sorted(set(alone))
    assert min(alone) >= 32, "the first half is every document's"
    assert entries("mill", seed=1) != [alone]
    assert entries("ferry") != [alone]
