"""How fast answers are written: by lm-eval's own model, run by run, and for several runs together.

`evaluation.py --generate` prints the table. Prompts of CounterFact records are continued by up to 16 tokens, each once
greedily and five times sampled (temperature 0.7, top_p 0.9), as the tasks on questions do. Stock is
`lm_eval.models.huggingface.HFLM` with a run's memory attached as a hook, at batch 16. Run by run is lm-eval's loop as
`eval` used it before, at batch 16 too, with streams of its own for samples; its answers are what all others must be.
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from gpu_asking import memories
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from simset_bench.corpora.facts.counterfact import read_facts
from simset_bench.evaluation.lm.answer_calls import Call
from simset_bench.evaluation.lm.at_work import MemoryAtWork
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.lm.seeded_sampling import SeededSampling
from simset_bench.models.loading import Base
from simset_bench.models.memory import attached

BATCH = 16
SAMPLES = 5
GREEDY = {"until": ["\n"], "do_sample": False, "max_gen_toks": 16}
SAMPLED = GREEDY | {"do_sample": True, "temperature": 0.7, "top_p": 0.9, "top_k": 0}
Answers = list[str]


def requests_of(data: str, facts: int) -> list[Instance]:
    """One greedy and five sampled answers to the prompt of each of the first records."""
    prompts = [fact.prompt for fact in list(read_facts(data))[:facts]]
    return [
        Instance("generate_until", {"document": None}, (prompt, dict(options)), number, metadata=("answers", number, 1))
        for options, times in ((GREEDY, 1), (SAMPLED, SAMPLES))
        for number, prompt in enumerate(prompts)
        for _ in range(times)
    ]


def timed(work: Callable[[], list[Answers]]) -> tuple[float, float, list[Answers]]:
    """Seconds, seconds of processors, and what the work returned."""
    began, processor = time.perf_counter(), time.process_time()
    answers = work()
    return time.perf_counter() - began, time.process_time() - processor, answers


def compare(base: Base, requests: list[Instance], layer: int, entries: int, runs: int) -> dict[str, Any]:
    """Answer in every way and return the figures, of one run's greedy answers and of all of them."""
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    given = memories(base, entries, runs)

    def by_lm_eval(model: type[HFLM], asked: list[Instance]) -> Answers:
        lm = model(pretrained=base.model, tokenizer=base.tokenizer, batch_size=BATCH, device=str(base.device))
        if isinstance(lm, SeededSampling):
            lm.begin_streams()
        with attached(base.model, base.blocks[layer], given[0]):
            return lm.generate_until(asked, disable_tqdm=True)

    # The model is tried once a base, before any clock runs, and its weights are read.
    lm = MemoryLM(base, BATCH)
    by_lm_eval(HFLM, requests[:BATCH])
    assert lm.answer_calls.answers([Call(MemoryAtWork(given[0], layer), requests[:1])]) != [None]

    def ours(count: int, asked: list[Instance]) -> list[Answers]:
        calls = [Call(MemoryAtWork(memory, layer), asked) for memory in given[:count]]
        return [answers or [] for answers in lm.answer_calls.answers(calls)]

    greedy = requests[: len(requests) // (1 + SAMPLES)]
    figures: dict[str, Any] = {"answers": len(requests), "greedy_answers": len(greedy), "runs": runs}
    for kind, asked in (("greedy", greedy), ("greedy and sampled", requests)):
        ways: dict[str, tuple[int, Callable[[], list[Answers]]]] = {
            "stock lm-eval, one run": (1, lambda asked=asked: [by_lm_eval(HFLM, asked)]),
            "run by run": (1, lambda asked=asked: [by_lm_eval(SeededSampling, asked)]),
            "one run": (1, lambda asked=asked: ours(1, asked)),
            f"{runs} runs together": (runs, lambda asked=asked: ours(runs, asked)),
        }
        found = {name: (count, *timed(work)) for name, (count, work) in ways.items()}
        _, stock, stock_processor, _ = found["stock lm-eval, one run"]
        *_, wanted = found["run by run"]
        figures[kind] = {
            name: {
                "answers_a_second_and_run": len(asked) * count / seconds,
                "gain_over_stock": stock * count / seconds,
                "processor_seconds_a_run": processor / count,
                "gain_by_processor": stock_processor * count / processor,
                "other_answers": different(answers[0], wanted[0]) if name != "stock lm-eval, one run" else None,
            }
            for name, (count, seconds, processor, answers) in found.items()
        }
    return figures


def different(answers: Sequence[str], wanted: Sequence[str]) -> int:
    """How many answers are not the ones that were wanted: words within rounding of one another change places."""
    return sum(one != other for one, other in zip(answers, wanted, strict=True))


def report(figures: dict[str, Any]) -> None:
    """Print the table."""
    print("| answers | way | a second and run | gain | processor s a run | gain by it | other than run by run |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for kind, ways in figures.items():
        for name, of_way in ways.items() if isinstance(ways, dict) else ():
            other = "–" if of_way["other_answers"] is None else of_way["other_answers"]
            print(
                f"| {kind} | {name} | {of_way['answers_a_second_and_run']:.1f} | {of_way['gain_over_stock']:.2f}x | "
                f"{of_way['processor_seconds_a_run']:.2f} | {of_way['gain_by_processor']:.2f}x | {other} |"
            )


def most_different(figures: dict[str, Any]) -> float:
    """The largest share of answers that are other than run by run."""
    kinds = ((figures["greedy_answers"], figures["greedy"]), (figures["answers"], figures["greedy and sampled"]))
    return max((of_way["other_answers"] or 0) / count for count, ways in kinds for of_way in ways.values())
