"""lm-eval's own tasks through our model, on data sets that lie beside the caller."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import lm_eval
import numpy as np
import pytest
from fixtures.closeness import OF_A_MODEL, near
from lm_eval import evaluator
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from scipy import stats

from simset_bench.errors import RequestError
from simset_bench.evaluation.all_runs import evaluate_all
from simset_bench.evaluation.harness import check_foreign_tasks, run_foreign
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.request import EvalRequest
from simset_bench.evaluation.run import evaluate_runs
from simset_bench.leaderboard.entries import pack_entry
from simset_bench.leaderboard.table import make_leaderboard
from simset_bench.leaderboard.verify import verify_entry
from simset_bench.models.loading import Base
from simset_bench.results.read import read_runs

WORDS = ["mill", "barley", "larch", "ferry", "char", "wheel", "spring"]


@pytest.fixture
def data_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `allenai/sciq` and `EleutherAI/lambada_openai` as lm-eval names them, found from within it."""
    sciq = [
        {"support": f"The {word} is old.", "question": f"What is old, {n}?", "correct_answer": word}
        | {f"distractor{k}": WORDS[(n + k) % 7] for k in (1, 2, 3)}
        for n, word in enumerate(WORDS)
    ]
    lambada = [{"text": f"By the old mill there was once a {word}"} for word in WORDS]
    for name, rows in (("allenai/sciq", sciq), ("EleutherAI/lambada_openai", lambada)):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        for split in ("train", "validation", "test"):
            (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_lm_evals_own_tasks_score_as_in_lm_eval(tiny_base: Callable[[str], Base], data_sets: Path) -> None:
    base = tiny_base("gpt2")
    stock = HFLM(pretrained=base.model, tokenizer=base.tokenizer, batch_size=4)
    folders = [str(Path(lm_eval.tasks.__file__).parent / name) for name in ("sciq", "lambada")]
    tasks = TaskManager(include_path=folders, include_defaults=False).load(["sciq", "lambada_openai"])
    wanted = evaluator.evaluate(stock, tasks, bootstrap_iters=1000)["results"]
    lm = MemoryLM(base, 4)
    for task in ("sciq", "lambada_openai"):
        found = run_foreign(lm, task, None)
        for name, estimate in found.estimates.items():
            assert estimate.value == near(wanted[task][f"{name},none"], roundings=8 * OF_A_MODEL)
            assert estimate.standard_error == near(wanted[task][f"{name}_stderr,none"], roundings=8 * OF_A_MODEL)
            assert estimate.n == len(found.samples) == len(WORDS)
    assert found.higher_is_better == {"perplexity": False, "acc": True}


@pytest.mark.slow
def test_lm_evals_own_tasks_run_on_a_trained_run(run_of: Callable[..., Path], data_sets: Path) -> None:
    run = run_of(seed=5)
    ours, theirs = evaluate_runs([run], EvalRequest(("sciq", "docmem"), limit=5))
    assert (ours["task"], theirs["task"]) == ("docmem", "sciq")
    assert theirs["n"] == {"acc": 5, "acc_norm": 5}
    assert theirs["higher_is_better"] == {"acc": True, "acc_norm": True}
    samples = [json.loads(line) for line in (run / "eval" / "sciq.free.samples.jsonl").read_text().splitlines()]
    scores = [sample["measures"]["acc"] for sample in samples]
    assert theirs["measures"]["acc"] == np.mean(scores)
    assert theirs["standard_errors"]["acc"] == pytest.approx(stats.sem(scores))
    assert len({sample["prompt_hash"] for sample in samples}) == 5
    assert math.isfinite(theirs["seconds"])


TASK = """task: mills
dataset_path: json
dataset_kwargs:
  data_files: {{test: {data}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: [" barley", " larch"]
doc_to_target: 0
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
"""


@pytest.fixture
def own_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a task of one's own, whose samples name no document."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "own"
    folder.mkdir()
    data = folder / "mills.jsonl"
    data.write_text("".join(json.dumps({"question": f"Mill {n} ground"}) + "\n" for n in range(6)))
    (folder / "mills.yaml").write_text(TASK.format(data=data))
    return folder


def test_a_task_of_ones_own_is_asked_and_stands_on_the_board(run_of: Callable[..., Path], own_tasks: Path) -> None:
    run = run_of(seed=6)
    request = EvalRequest(("mills",), include_path=str(own_tasks))
    (result,) = evaluate_all([run], request).made
    assert result["n"] == {"acc": 6}
    board = make_leaderboard(read_runs([run]), sort="mills/acc")
    assert board.rows[0].scores["mills/acc"].value == result["measures"]["acc"]
    assert board.directions["mills/acc"] == "higher"
    assert verify_entry(pack_entry(run, own_tasks.parent / "board")).results == 1
    assert len(evaluate_all([run], request).kept) == 1, "asked before"
    with (own_tasks / "mills.jsonl").open("a") as file:
        file.write(json.dumps({"question": "Mill 6 ground"}) + "\n")
    (again,) = evaluate_all([run], request).made
    assert again["n"] == {"acc": 7}, "asked again, since its data changed"


def test_what_is_no_folder_of_tasks_is_refused(own_tasks: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder, why in (("nowhere", "there is no such folder"), ("empty", "no .yaml file below it")):
        with pytest.raises(RequestError, match=why):
            check_foreign_tasks(["mills"], str(tmp_path / folder))
    with pytest.raises(RequestError, match=r"unknown task 'mill' \(did you mean 'mills'\?\)"):
        check_foreign_tasks(["mill"], str(own_tasks))
