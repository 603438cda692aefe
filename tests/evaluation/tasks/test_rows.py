"""What our tasks hand to a model: prompts that end in no space, and nothing of the answer."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from lm_eval.tasks import TaskManager

from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.subject import Subject
from simset_bench.evaluation.task_options import TaskOptions
from simset_bench.evaluation.tasks.rows import Row, write_rows
from simset_bench.evaluation.tasks.table import OUR_TASKS, tasks_folder
from simset_bench.models.loading import Base
from simset_bench.training.config import make_config
from simset_bench.training.prepare import load_documents


@pytest.fixture(scope="module")
def rows_of(
    base_with: Callable[[str], Base],
    squad_file: Path,
    unke_file: Path,
    format_data: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], dict[str, list[Row]]]:
    """The rows of all our tasks by part, for a kind of tokenizer, on real records where there are some."""
    folder = tmp_path_factory.mktemp("sources")
    zsre, popqa = folder / "zsre.json", folder / "popQA.tsv"
    zsre.write_text(json.dumps([{"subject": "Orrin", "src": "What?", "rephrase": "And?", "answers": ["a mill"]}]))
    popqa.write_text('subj\tprop\tquestion\tpossible_answers\nOrrin\tis\tWhat is Orrin?\t["a mill", "mill"]\n')
    facts = str(format_data / "counterfact" / "rome_format.json")
    sources = {"zsre": zsre, "popqa": popqa, "fever": format_data / "fever" / "claims.jsonl"}
    sources |= {"relations": format_data / "relations" / "country_capital_city.json", "counterfact": facts}
    sources |= {"docqa_held_out": f"unke:{unke_file}"}

    def made(kind: str) -> dict[str, list[Row]]:
        lm = MemoryLM(base_with(kind), 1)
        squad = make_config(None, model="m", corpus=f"squad:{squad_file}", num_docs=3, group_by="paragraph")
        # Facts about people are known of people alone, and only some texts answer a question as a whole.
        of_their_own = {
            "people": make_config(None, model="m", corpus="people:count=3", num_docs=3),
            "docqa_text": make_config(None, model="m", corpus=f"unke:{unke_file}", num_docs=2),
        }
        rows = {}
        for name, task in OUR_TASKS.items():
            config = of_their_own.get(name, squad)
            documents = load_documents(config)
            source = sources.get(name) or sources.get(name.split("_")[0], task.default or "")
            rows |= task.rows(Subject(lm, config, documents, None, folder), TaskOptions(source=str(source), limit=6))
        return rows

    return made


@pytest.mark.parametrize("kind", ["gpt2", "sentencepiece", "merging"])
def test_no_prompt_ends_in_a_space_and_the_target_brings_its_own(
    rows_of: Callable[[str], dict[str, list[Row]]], kind: str
) -> None:
    for part, rows in rows_of(kind).items():
        assert rows, part
        for row in rows:
            assert row["prompt"] == row["prompt"].rstrip(), (part, row["sample"])
            assert all(choice.startswith(" ") for choice in row.get("choices", [])), (part, row["sample"])


def test_what_is_generated_does_not_depend_on_the_answer(
    rows_of: Callable[[str], dict[str, list[Row]]], tmp_path: Path
) -> None:
    """With other answers in the rows, lm-eval asks for the same text: same prompts, stops and budgets."""
    rows = rows_of("gpt2")
    other = {"target": "something that is not asked for and is rather long", "answers": ["some", "others"]}
    asked = []
    for name, changed in (("as_they_are", {}), ("with_other_answers", other)):
        for part, found in rows.items():
            write_rows(tmp_path / name, part, [row | {key: changed.get(key, row[key]) for key in row} for row in found])
        manager = TaskManager(
            include_path=str(tasks_folder()), include_defaults=False, metadata={"rows_folder": str(tmp_path / name)}
        )
        requests = {}
        for task in [part for ours in OUR_TASKS.values() for part in ours.parts]:
            made = manager.load([task])["tasks"][task]
            if made.OUTPUT_TYPE == "generate_until":
                made.build_all_requests()
                requests[task] = [(request.args, request.repeats) for request in made.instances]
                assert all(isinstance(how["max_gen_toks"], int) for (_, how), _ in requests[task])
        asked.append(requests)
    texts = [path.read_text(encoding="utf-8") for path in tasks_folder().glob("*/*.yaml")]
    assert len(asked[0]) == sum("output_type: generate_until" in text for text in texts) and all(asked[0].values())
    assert asked[0] == asked[1]
