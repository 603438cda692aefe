"""Our tasks: what each asks, the lm-eval tasks it is made of, and how its rows are built."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from simset_bench import package
from simset_bench.corpora.facts.fact import BUILTIN
from simset_bench.evaluation.late import late
from simset_bench.evaluation.task_options import SAME_CORPUS

if TYPE_CHECKING:
    from collections.abc import Callable

    from simset_bench.evaluation.estimates import Scored
    from simset_bench.evaluation.lm_eval_internals import Instance
    from simset_bench.evaluation.subject import Subject
    from simset_bench.evaluation.tasks.rows import Row, RowsOf


def tasks_folder() -> Path:
    """The folder of our lm-eval tasks: in the installed package, or beside it in a checkout."""
    installed = package.FOLDER / "tasks"
    return installed if installed.is_dir() else package.FOLDER.parent / "tasks"


@dataclass(frozen=True)
class OurTask:
    """One of our tasks.

    `parts` maps the lm-eval tasks that it is made of to the rows that each reads; `rows` builds them. `data` says what
    it reads beside the documents, as `--data` is to name it, None for nothing; `default` is what it reads unless
    `--data` names something, None where `--data` must. With `beside_base` the untouched base is always asked the same
    rows, and the task reports the rise in NLL over it. Its YAML files lie in `folder`, ours by default.
    `direct` gives the same scores from the rows without lm-eval, in less time, or None where it cannot; the answers
    that it has written are `direct_answers` of the rows.
    """

    question: str
    version: int
    parts: dict[str, str]
    rows: "RowsOf"
    data: str | None = None
    default: str | None = None
    beside_base: bool = False
    folder: Path | None = None
    direct: "Callable[[Subject, dict[str, list[Row]], str], Scored | None] | None" = None
    direct_answers: "Callable[[Subject, dict[str, list[Row]]], list[Instance]] | None" = None


COUNTERFACT = "builtin, a file in ROME's or EasyEdit's format, or hub:azhx/counterfact"
ZSRE = "a file of records with subject, src and answers, or hub:NAME of one"
POPQA = "popQA.tsv or hub:akariasai/PopQA"
RELATIONS = "a relation's .json file, or a folder of them"
OUR_TASKS: dict[str, OurTask] = {
    "docmem": OurTask(
        "NLL of the memorised documents, and verbatim continuation of a prefix",
        3,
        {"simset_docmem": "docmem", "simset_docmem_continuation": "docmem_continuation"},
        late("tasks.documents", "docmem_rows"),
    ),
    "doccloze": OurTask(
        "sentences cut before a name, number or date",
        2,
        {"simset_doccloze": "doccloze", "simset_doccloze_answer": "doccloze_answer"},
        late("tasks.documents", "doccloze_rows"),
    ),
    "people": OurTask(
        "facts about invented people, among 32 candidates and freely (people corpora)",
        2,
        {"simset_people": "people", "simset_people_answer": "people"},
        late("tasks.people", "people_rows"),
        direct=late("tasks.people", "people_direct"),
        direct_answers=late("tasks.people", "people_answers_wanted"),
    ),
    "docqa": OurTask(
        "questions on the documents (squad, fictionalqa, unke, akew corpora)",
        1,
        {"simset_docqa": "docqa"},
        late("tasks.document_questions", "docqa_rows"),
    ),
    "docqa_samples": OurTask(
        "the same questions, five sampled answers each",
        1,
        {"simset_docqa_samples": "docqa_samples"},
        late("tasks.document_questions", "docqa_samples_rows"),
    ),
    "docqa_text": OurTask(
        "questions that a whole document answers (unke corpora)",
        1,
        {"simset_docqa_text": "docqa_text"},
        late("tasks.document_questions", "docqa_text_rows"),
    ),
    "docqa_held_out": OurTask(
        "questions on documents that were not memorised",
        1,
        {"simset_docqa_held_out": "docqa_held_out"},
        late("tasks.document_questions", "docqa_held_out_rows"),
        data="a corpus such as fictionalqa:SOURCE,style=STYLE",
        default=SAME_CORPUS,
    ),
    "counterfact": OurTask(
        "CounterFact probes, and the same facts as questions",
        2,
        {
            "simset_counterfact_probes": "counterfact_probes",
            "simset_counterfact_answer": "counterfact_questions",
            "simset_counterfact_questions": "counterfact_questions",
        },
        late("tasks.counterfact", "counterfact_rows"),
        data=COUNTERFACT,
        default=BUILTIN,
    ),
    "counterfact_attributes": OurTask(
        "CounterFact prompts about other subjects, of which the new target is true (ROME's format)",
        1,
        {"simset_counterfact_attributes": "counterfact_attributes"},
        late("tasks.counterfact", "counterfact_attribute_rows"),
        data=COUNTERFACT,
        default=BUILTIN,
    ),
    "counterfact_generation": OurTask(
        "fluency of generated text, and its consistency with memorised documents (ROME's format)",
        1,
        {"simset_counterfact_generation": "counterfact_generation"},
        late("tasks.counterfact", "generation_rows"),
        data=COUNTERFACT,
        default=BUILTIN,
    ),
    "zsre": OurTask(
        "zsRE: questions, rephrasings, and questions on something else",
        1,
        {"simset_zsre": "zsre"},
        late("tasks.questions", "zsre_rows"),
        data=ZSRE,
    ),
    "zsre_samples": OurTask(
        "zsRE: the same questions, five sampled answers each",
        1,
        {"simset_zsre_samples": "zsre_samples"},
        late("tasks.questions", "zsre_samples_rows"),
        data=ZSRE,
    ),
    "popqa": OurTask(
        "PopQA: questions on entities more and less known",
        1,
        {"simset_popqa": "popqa"},
        late("tasks.questions", "popqa_rows"),
        data=POPQA,
    ),
    "popqa_samples": OurTask(
        "PopQA: the same questions, five sampled answers each",
        1,
        {"simset_popqa_samples": "popqa_samples"},
        late("tasks.questions", "popqa_samples_rows"),
        data=POPQA,
    ),
    "relations": OurTask(
        "prompts on the factual relations of the LRE data",
        1,
        {"simset_relations": "relations"},
        late("tasks.questions", "relations_rows"),
        data=RELATIONS,
    ),
    "relations_fewshot": OurTask(
        "the same relations, after five examples with other subjects",
        1,
        {"simset_relations_fewshot": "relations_fewshot"},
        late("tasks.questions", "relations_fewshot_rows"),
        data=RELATIONS,
    ),
    "fever": OurTask(
        "FEVER claims, by lettered answers after worked examples",
        3,
        {"simset_fever": "fever"},
        late("tasks.questions", "fever_rows"),
        data="a file of FEVER claims, or hub:fever/fever:v1.0:labelled_dev",
    ),
    "damage": OurTask(
        "NLL of text that was not memorised",
        1,
        {"simset_damage": "damage"},
        late("tasks.documents", "damage_rows"),
        data="a corpus such as wikitext:FILE, or counterfact:SOURCE for its neighborhood prompts",
        default=SAME_CORPUS,
        beside_base=True,
    ),
}
