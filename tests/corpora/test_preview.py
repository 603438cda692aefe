from simset_bench.corpora.documents import Document, Question
from simset_bench.corpora.preview import Spread, preview


def test_preview_counts_what_the_documents_hold() -> None:
    asked = Question("q", "Who?", ("Ada",))
    documents = [
        Document("a", "A", "one two three", "letters", (asked,)),
        Document("b", "B", "four", "letters", (asked, asked)),
        Document("c", "C", "five six", None),
        Document("d", "D", "seven eight nine ten", "digits"),
    ]
    found = preview(documents, lambda text: set(text))
    assert (found.documents, found.questions, found.topics) == (4, 3, 2)
    assert found.words == Spread(1, 2.5, 4, 2.5)
    assert found.characters == Spread(4, 10.5, 20, (13 + 4 + 8 + 20) / 4)
    assert found.shingles.min == 4
