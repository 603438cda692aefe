import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from simset_bench.cli.app import app
from simset_bench.corpora.load import CORPORA


@pytest.fixture
def corpora() -> Callable[..., Result]:
    return lambda *arguments: CliRunner().invoke(app, ["corpora", *map(str, arguments)])


def test_every_kind_of_corpus_is_listed(corpora: Callable[..., Result]) -> None:
    shown = corpora()
    assert shown.exit_code == 0
    for kind in CORPORA.values():
        assert kind.form in shown.stdout
    listed = json.loads(corpora("--json").stdout)
    assert [kind["form"] for kind in listed["corpora"]] == [kind.form for kind in CORPORA.values()]


def test_a_preview_counts_documents_lengths_and_shingles(corpora: Callable[..., Result], tiny_corpus: Path) -> None:
    texts = [json.loads(line)["text"] for line in tiny_corpus.read_text().splitlines()]
    found = json.loads(corpora(f"jsonl:{tiny_corpus}", "--json").stdout)
    words = [len(text.split()) for text in texts]
    assert found["documents"] == 24
    assert found["topics"] == len({json.loads(line)["topic"] for line in tiny_corpus.read_text().splitlines()})
    assert (found["words"]["min"], found["words"]["max"]) == (min(words), max(words))
    assert found["characters"]["mean"] == pytest.approx(sum(map(len, texts)) / 24)
    assert 0 < found["shingles"]["max"] < max(words)
    assert [entry["id"] for entry in found["first"]][:2] == ["skarvik", "skarvik-copy"]
    shown = corpora(f"jsonl:{tiny_corpus}")
    assert "24 documents" in shown.stdout
    assert "distinct 2-shingles" in shown.stdout
    assert "Skarvik lighthouse was lit" in shown.stdout


def test_grouping_number_and_subjects_are_obeyed(
    corpora: Callable[..., Result], tiny_corpus: Path, tmp_path: Path
) -> None:
    topics = json.loads(corpora(f"jsonl:{tiny_corpus}", "--group-by", "topic", "--json").stdout)
    assert topics["documents"] == topics["topics"] < 24
    assert json.loads(corpora(f"jsonl:{tiny_corpus}", "--num-docs", 3, "--json").stdout)["documents"] == 3
    record = {"prompt": "Teresa Molina was", "subject": "teresa molina", "ground_truth": "a", "target_new": "b"}
    record |= {"rephrase_prompt": "She was", "locality_prompt": "He was", "locality_ground_truth": "a"}
    (tmp_path / "facts.json").write_text(json.dumps([record]))
    matched = corpora(f"jsonl:{tiny_corpus}", "--match-subjects", tmp_path / "facts.json", "--json")
    assert [entry["id"] for entry in json.loads(matched.stdout)["first"]] == ["molina"]


def test_a_preview_of_people_shows_how_alike_families_are_and_writes_files(
    corpora: Callable[..., Result], tmp_path: Path
) -> None:
    shown = json.loads(corpora("people:count=50,wording=1", "--json", "--write", tmp_path).stdout)
    assert shown["documents"] == 50 and shown["questions"] == 300
    assert 0 < shown["jaccard"]["between"] < shown["jaccard"]["within"] < 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "documents.jsonl", "facts.jsonl"]
    assert f"{shown['jaccard']['within']:.4f}" in (tmp_path / "README.md").read_text()
    assert "mean Jaccard similarity within families" in corpora("people:count=50").stdout


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["vitl"], "unknown corpus 'vitl' (did you mean 'vital'?)"),
        (["jsonl:none.jsonl"], "none.jsonl: cannot be read"),
        (["jsonl:CORPUS", "--num-docs", "25"], "has only 24 documents"),
        (["jsonl:CORPUS", "--num-docs", "0"], "--num-docs 0: must be at least 1"),
        (["jsonl:CORPUS", "--group-by", "artcle"], "did you mean 'article'?"),
        (["jsonl:CORPUS", "--match-subjects", "bultin"], "did you mean 'builtin'?"),
        (["wikitext:CORPUS"], "line 1: text before the first title line"),
        (["squad:CORPUS"], "line 2: not JSON"),
        (["people:cont=3"], "did you mean 'count'?"),
        (["jsonl:CORPUS", "--write", "there"], "--write is for corpora of invented people"),
    ],
)
def test_a_wrong_request_is_one_line_and_exit_code_2(
    corpora: Callable[..., Result], tiny_corpus: Path, arguments: list[str], why: str
) -> None:
    shown = corpora(*(argument.replace("CORPUS", str(tiny_corpus)) for argument in arguments))
    assert shown.exit_code == 2
    assert shown.stdout == ""
    assert shown.stderr.startswith("error: ")
    assert shown.stderr.count("\n") == 1
    assert why in shown.stderr
