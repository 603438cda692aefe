"""CounterFact records to ask a study about: the article on the subject holds the answer, and the base does not know it.

    python benchmarks/unknown_facts.py counterfact.json unknown.json

A record is kept if its true answer stands, as words, in the article of `--corpus` whose title is its subject, and if
the untouched base shows no knowledge of it. Its likeliest words after the rewrite prompt and the paraphrases are
others. Neither its greedy answer to the question nor one of five sampled ones is right. After the rewrite prompt the
true answer has a share below 0.05 (NLL above 3 nats). This is the rule of docs/study.md.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from simset_bench.corpora.documents import same_title_key
from simset_bench.corpora.facts.counterfact import read_facts
from simset_bench.corpora.load import load_corpus
from simset_bench.results.samples import read_samples

LEAST_NLL = 3.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("source", type=Path, help="a JSON list of CounterFact records, in ROME's or EasyEdit's format")
    parser.add_argument("output", type=Path, help="the records that are kept, in the same format")
    parser.add_argument("--corpus", default="vital")
    parser.add_argument("--model", default="smollm2-135m")
    chosen = parser.parse_args()
    records = {str(record["case_id"]): record for record in json.loads(chosen.source.read_text("utf-8"))}
    with tempfile.TemporaryDirectory() as scratch:
        stated = Path(scratch) / "stated.json"
        subjects = _write(stated, records, _stated(chosen.source, chosen.corpus))
        folder = Path(scratch) / "base"
        asked = ["--task", "counterfact", "--data", str(stated), "--match-subjects", str(stated)]
        about = ["--model", chosen.model, "--corpus", chosen.corpus, "--num-docs", str(subjects)]
        evaluate = [sys.executable, "-m", "simset_bench", "eval", "--baseline", "--quiet"]
        subprocess.run([*evaluate, *about, *asked, "--save-dir", str(folder)], check=True, stdout=subprocess.DEVNULL)
        (samples,) = folder.rglob("counterfact*.samples.jsonl")
        unknown = _unknown(samples)
    subjects = _write(chosen.output, records, unknown)
    print(f"{chosen.output}: {len(unknown)} of {len(records)} records, about {subjects} subjects")


def _stated(source: Path, corpus: str) -> set[str]:
    """Records whose true answer stands in the document about their subject."""
    text_of = {same_title_key(document.title): document.text for document in load_corpus(corpus)}
    return {
        fact.case_id
        for fact in read_facts(str(source))
        if re.search(rf"\b{re.escape(fact.target_true)}\b", text_of.get(same_title_key(fact.subject), ""))
    }


def _unknown(samples: Path) -> set[str]:
    """Records of which the base shows no knowledge; a probe's sample is named CASE/KIND/NUMBER, a question's CASE."""
    measures: dict[str, list[dict[str, float]]] = defaultdict(list)
    for record in read_samples(samples):
        measures[record["sample"].partition("/")[0]].append(record["measures"])

    def is_right(measured: dict[str, float]) -> bool:
        names = ("accuracy_rewrite", "accuracy_paraphrase", "exact_match", "exact_match_any")
        return any(measured.get(name, 0) > 0 for name in names)

    return {
        case
        for case, several in measures.items()
        if not any(is_right(measured) for measured in several)
        and min(measured.get("nll_true_rewrite", LEAST_NLL + 1) for measured in several) > LEAST_NLL
    }


def _write(path: Path, records: dict[str, dict], cases: set[str]) -> int:
    """Write the records of some cases in their order; returns the number of their subjects."""
    kept = [record for case, record in records.items() if case in cases]
    path.write_text(json.dumps(kept, ensure_ascii=False, indent=1) + "\n", "utf-8")
    return len({fact.subject for fact in read_facts(str(path))})


if __name__ == "__main__":
    main()
