"""The examples in the docstrings of the public names, run as they stand on a tiny model."""

import doctest
import inspect
from functools import partial
from pathlib import Path

import pytest

import simset_bench

# Those that make what others read come first.
ORDER = ("train", "evaluate", "forget", "sweep", "study", "allocate", "leaderboard", "contrast", "show", "compare")
ORDER += ("analyze", "read_runs", "read_samples", "MemoryModel")
SMALL = {"layer": 2, "epochs": 1, "entries": 64, "entries_per_doc": 8, "num_docs": 5, "quiet": True}
SMALL |= {"device": "cpu", "dtype": "float32"}


def test_examples_run(tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {*ORDER, "RequestError", "__version__"} == set(simset_bench.__all__)
    monkeypatch.chdir(tmp_path)
    names = {name: getattr(simset_bench, name) for name in simset_bench.__all__}
    # Scaled down: the examples leave out what is at its default.
    names["train"] = partial(simset_bench.train, model=tiny_llama, **SMALL)
    names["evaluate"] = partial(simset_bench.evaluate, limit=2, quiet=True)
    names["forget"] = partial(simset_bench.forget, steps=1, quiet=True)
    fixed = {**SMALL, "model": str(tiny_llama), "corpus": "people:count=5"}
    grid = f"axes:\n  allocation: [random, simset2]\nfixed: {fixed}\nstudy: {{tasks: [docmem], limit: 2}}\n"
    Path("grid.yaml").write_text(grid.replace("'quiet': True, ", ""))
    names["train"](corpus="people:count=32", allocation="random")
    simset_bench.evaluate("outputs", task="docmem", limit=2, all=True, quiet=True)
    for name in ORDER:
        examples = doctest.DocTestParser().get_examples(str(inspect.getdoc(getattr(simset_bench, name))))
        assert examples, name
        for example in examples:
            exec(compile(example.source, name, "exec"), names)
    assert names["without"].forgotten["documents"] == ["person-0-3"]
    assert names["answer"].shape[1] > names["inputs"]["input_ids"].shape[1]
