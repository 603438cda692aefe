"""What is memorised, as a manifest records it."""

from pathlib import Path

from simset_bench.corpora.load import load_corpus
from simset_bench.training.config import make_config
from simset_bench.training.methods.learner import Memorised
from simset_bench.training.run import summary, train_run


def test_of_invented_people_a_manifest_says_how_alike_families_are(tiny_corpus: Path) -> None:
    alike = Memorised(load_corpus("people:count=40,wording=1,values=1"), None, []).counts()["family_jaccard"]
    assert 0 < alike["between"] < alike["within"] < 1
    alone = Memorised(load_corpus("people:count=1"), None, []).counts()["family_jaccard"]
    assert alone == {"within": None, "between": None}
    assert "family_jaccard" not in Memorised(load_corpus(f"jsonl:{tiny_corpus}"), None, []).counts()


def test_people_of_another_language_are_memorised(tiny_llama: Path, tmp_path: Path) -> None:
    config = make_config(
        None,
        model=str(tiny_llama),
        corpus="people:count=4,lang=ko,family=2,wording=1",
        num_docs=4,
        allocation="simset2",
        layer=2,
        entries=64,
        entries_per_doc=8,
        epochs=2,
        dtype="float32",
        device="cpu",
    )
    manifest = summary(train_run(config, tmp_path))
    assert manifest["documents"] == 4 and manifest["family_jaccard"]["within"] > manifest["family_jaccard"]["between"]
