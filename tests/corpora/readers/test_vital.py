from simset_bench.corpora.documents import Document
from simset_bench.corpora.load import load_corpus


def test_vital_holds_every_article_of_the_wheel_with_title_and_topic(vital: list[Document]) -> None:
    assert len(vital) == 10_033
    assert all(document.id == document.title and document.topic and document.text.strip() for document in vital)
    assert len({document.topic for document in vital}) == 12


def test_vital_is_real_text_about_its_titles(vital: list[Document]) -> None:
    by_title = {document.title: document.text for document in vital}
    assert "Tokyo" in by_title["Japan"] and "element" in by_title["Oxygen"]
    words = sum(len(document.text.split()) for document in vital) / len(vital)
    assert 60 < words < 120


def test_topics_of_vital_hold_all_its_text(vital: list[Document]) -> None:
    topics = load_corpus("vital", group_by="topic")
    assert len(topics) == 12
    assert sum(len(topic.text.split()) for topic in topics) == sum(len(document.text.split()) for document in vital)
