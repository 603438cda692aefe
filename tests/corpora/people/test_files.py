import json
from pathlib import Path

from simset_bench.corpora.facts.counterfact import read_facts
from simset_bench.corpora.load import load_corpus
from simset_bench.corpora.people.figures import FamilySimilarity
from simset_bench.corpora.people.files import write_people
from simset_bench.corpora.people.options import parse_people

LOCATION = "count=10,texts=2,seed=3"


def test_written_people_are_read_by_our_own_readers(tmp_path: Path) -> None:
    documents = load_corpus(f"people:{LOCATION}")
    write_people(tmp_path, f"people:{LOCATION}", parse_people(LOCATION), documents, FamilySimilarity(0.5, None))
    read = load_corpus(f"jsonl:{tmp_path}/documents.jsonl")
    assert [(d.id, d.title, d.text, d.topic) for d in read] == [(d.id, d.title, d.text, d.topic) for d in documents]
    facts = read_facts(str(tmp_path / "facts.jsonl"))
    assert len(facts) == 60
    for fact, closed in zip(facts, (fact for document in documents for fact in document.facts), strict=True):
        assert (fact.case_id, fact.subject, fact.target_true) == (closed.id, closed.subject, closed.value)
        assert fact.target_new in closed.candidates and fact.target_new != fact.target_true
        assert (fact.prompt, fact.question) == (closed.stated.text, closed.questions[0])
        assert fact.paraphrase_prompts == tuple(prompt.text for prompt in closed.paraphrases)
    records = [json.loads(line) for line in (tmp_path / "facts.jsonl").read_text().splitlines()]
    assert all(len(record["candidates"]) == 32 and len(record["questions"]) == 3 for record in records)
    readme = (tmp_path / "README.md").read_text()
    assert "| bits of all facts together | 300.0 |" in readme and "within families | 0.5000 |" in readme
    assert "seed of the generator | 3 |" in readme and "no such pair" in readme
