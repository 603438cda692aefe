import json
from pathlib import Path

import pytest

from simset_bench.corpora.facts.counterfact import read_facts
from simset_bench.corpora.load import load_corpus
from simset_bench.corpora.people.figures import FamilySimilarity
from simset_bench.corpora.people.files import write_people
from simset_bench.corpora.people.options import parse_people
from simset_bench.errors import HeldElsewhere, RequestError
from simset_bench.files import held_folder

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


def test_other_peoples_files_are_left_as_they_are(tmp_path: Path) -> None:
    documents = load_corpus(f"people:{LOCATION}")
    given = f"people:{LOCATION}", parse_people(LOCATION), documents, FamilySimilarity(0.5, None)
    (tmp_path / "README.md").write_text("# Mine\n")
    with pytest.raises(RequestError, match=r"holds a README\.md of another kind"):
        write_people(tmp_path, *given)
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
    assert (tmp_path / "README.md").read_text() == "# Mine\n"


def test_one_process_writes_and_a_killed_ones_files_are_replaced(tmp_path: Path) -> None:
    documents = load_corpus(f"people:{LOCATION}")
    given = f"people:{LOCATION}", parse_people(LOCATION), documents, FamilySimilarity(0.5, None)
    with held_folder(tmp_path / "a", ".lock", ""), pytest.raises(HeldElsewhere, match="another process is writing it"):
        write_people(tmp_path / "a", *given)
    write_people(tmp_path / "a", *given)
    whole = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    (tmp_path / "a" / ".facts.jsonl.0123abcd.jsonl").write_text("half")
    (tmp_path / "a" / "facts.jsonl").unlink()
    write_people(tmp_path / "a", *given)
    assert {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()} == whole
