"""A task and a probe more for `simset-bench`, as somebody would try them: records, a YAML and functions."""

from pathlib import Path

from simset_bench.evaluation.estimates import Scored
from simset_bench.evaluation.measures import MEASURES, Measure
from simset_bench.evaluation.probes.records import estimates_of, record
from simset_bench.evaluation.probes.table import PROBES, Probe
from simset_bench.evaluation.subject import Subject
from simset_bench.evaluation.task_options import TaskOptions
from simset_bench.evaluation.tasks.table import OUR_TASKS, OurTask

YAML = """
task: simset_next_word
dataset_kwargs:
  name: next_word
custom_dataset: !function scoring.load
test_split: test
output_type: generate_until
doc_to_text: prompt
doc_to_target: target
generation_kwargs:
  until: [" "]
  do_sample: false
  max_gen_toks: 8
process_results: !function scoring.score_answer
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1
"""
FOLDER = Path("tasks").absolute()


def next_word_rows(subject: Subject, options: TaskOptions) -> dict[str, list[dict]]:
    """The first three words of each document, to be followed by its fourth."""
    rows = []
    for document in subject.documents[: options.limit]:
        words = document.text.split()
        row = {"document": document.id, "sample": document.id, "prompt": " ".join(words[:3])}
        rows.append(row | {"target": words[3], "answers": [words[3]]})
    return {"next_word": rows}


def letters_a_word(subject: Subject, options: TaskOptions) -> Scored:
    """The letters of each document, spaces too, over its words."""
    records = []
    for document in subject.documents[: options.limit]:
        letters = len(document.text) / len(document.text.split())
        records.append(record(document, document.id, document.text, {"letters_a_word": letters}))
    return Scored(estimates_of(records), records, {"letters_a_word": False})


OUR_TASKS["next_word"] = OurTask(
    "the fourth word of a document", 1, {"simset_next_word": "next_word"}, next_word_rows, folder=FOLDER
)
MEASURES["letters_a_word"] = Measure("letters_a_word", "lower")
PROBES["letters"] = Probe("how long a document's words are", 1, letters_a_word)

FOLDER.mkdir(exist_ok=True)
(FOLDER / "simset_next_word.yaml").write_text(YAML, encoding="utf-8")
(FOLDER / "scoring.py").write_text("from simset_bench.evaluation.tasks.scoring import *\n", encoding="utf-8")
