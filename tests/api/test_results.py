"""What public functions return: frames, HTML and plots of the same figures as the commands'."""

import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from simset_bench import (
    MemoryModel,
    RequestError,
    allocate,
    analyze,
    compare,
    contrast,
    evaluate,
    leaderboard,
    read_runs,
    read_samples,
    show,
    sweep,
    train,
)
from simset_bench.cli.app import app
from simset_bench.corpora.load import load_corpus

HOSTILE = "<script>alert(1)</script>"


class Tags(HTMLParser):
    """The tags and the text of HTML."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def printed(*arguments: object) -> dict:
    done = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture
def outputs(write_run: Callable[..., Path], tmp_path: Path) -> Path:
    """Two runs of two allocations each, of a model with a hostile name, and one that was not evaluated."""
    draws = np.random.default_rng(0)
    for allocation, level in (("random", 1.0), ("simset2", 0.5)):
        for seed in (0, 1):
            nll = (level + draws.normal(0, 0.05, 12)).tolist()
            write_run({"docmem": {"nll": nll}}, allocation=allocation, mem_seed=seed, model=HOSTILE)
    return tmp_path / "outputs"


def test_a_board_has_the_rows_of_the_command_in_its_frame_and_its_html(outputs: Path) -> None:
    board = leaderboard(str(outputs))
    there = printed("leaderboard", outputs)["rows"]
    frame = board.to_frame()
    assert frame["allocation"].tolist() == [row["allocation"] for row in there] == ["simset2", "random"]
    assert frame["docmem/nll"].tolist() == [row["measures"]["docmem/nll"] for row in there]
    assert frame["docmem/nll low"].tolist() == [row["intervals"]["docmem/nll"][0] for row in there]
    shown = Tags(board._repr_html_())
    assert shown.tags == {"div", "table", "thead", "tbody", "tr", "th", "td", "ul", "li"}
    assert HOSTILE in shown.text
    assert all(remark in shown.text for remark in board.remarks)
    assert board.best.settings["allocation"] == "simset2"


def test_rows_that_cannot_be_told_apart_are_said_to_tie(write_run: Callable[..., Path], tmp_path: Path) -> None:
    for allocation in ("random", "simset2"):
        for seed in (0, 1):
            write_run({"docmem": {"nll": [1.0, 2.0, 3.0 + seed]}}, allocation=allocation, mem_seed=seed)
    board = leaderboard(tmp_path / "outputs")
    assert "cannot be told apart" in board.ties[0]
    assert board.ties[0] in Tags(board._repr_html_()).text


def test_a_contrast_has_the_records_of_the_command(outputs: Path) -> None:
    found = contrast(outputs, between="allocation=simset2,random")
    (record,) = printed("contrast", outputs, "--between", "allocation=simset2,random")["contrasts"]
    (row,) = found.to_frame().to_dict("records")
    assert row == record
    assert row["verdict"] in Tags(found._repr_html_()).text
    assert found.plot().to_dict()["layer"]
    with pytest.raises(RequestError, match="between"):
        contrast(outputs)  # type: ignore[call-arg]


def test_a_run_shows_settings_that_are_not_defaults_and_figures_with_errors(outputs: Path) -> None:
    folder = next(outputs.iterdir())
    run = show(folder, samples=2)
    there = printed("show", folder)["scores"]["docmem/nll"]
    row = run.figures.loc["docmem/nll"]
    assert [row["value"], row["standard_error"], row["low"], row["high"]] == [
        there["value"],
        there["standard_error"],
        *there["interval"],
    ]
    shown = Tags(run._repr_html_())
    assert "entries 64" in shown.text
    assert "inductive_form" not in shown.text
    assert "script" not in shown.tags
    assert f"{row['standard_error']:.2g}" in shown.text


def test_plots_are_drawn_where_there_is_something_to_draw(outputs: Path) -> None:
    (outputs / "run_0" / "metrics.jsonl").write_text(
        '{"epoch": 0, "cross_entropy": 2.0}\n{"epoch": 1, "cross_entropy": 1.0}\n'
    )
    assert "cross_entropy" in show(outputs / "run_0").plot().to_json()
    assert "docmem/nll" in leaderboard(outputs).plot().to_json()
    for plot in (show(outputs / "run_1").plot, leaderboard(outputs).plot_retention):
        with pytest.raises(RequestError):
            plot()


def test_without_the_extra_plots_a_plot_says_what_to_install(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board = leaderboard(outputs)
    monkeypatch.setattr("simset_bench.errors.find_spec", lambda _name: None)
    with pytest.raises(RequestError, match=r"Board.plot needs altair: pip install 'simset-bench\[plots\]'"):
        board.plot()


def test_samples_are_a_row_each_with_their_measures(outputs: Path) -> None:
    samples = read_samples(outputs / "run_0", "docmem")
    assert len(samples) == 12
    assert samples["nll"].mean() == pytest.approx(show(outputs / "run_0").figures.loc["docmem/nll", "value"])
    with pytest.raises(RequestError, match=r"did you mean 'docmem'\?"):
        read_samples(outputs / "run_0", "docmen")


def test_runs_are_read_from_texts_paths_and_several_of_them(outputs: Path) -> None:
    assert len(read_runs(str(outputs)).runs) == 4
    assert len(read_runs([outputs / "run_0", str(outputs / "run_1")]).runs) == 2


def test_an_allocation_is_a_frame_and_its_analysis_a_plot(tmp_path: Path) -> None:
    made = allocate(tmp_path / "a.parquet", corpus="people:count=12", entries=256, entries_per_doc=8)
    frame = made.to_frame()
    assert len(frame) == 12
    assert all(len(entries) == 8 for entries in frame["entries"])
    text = load_corpus("people:count=12")[0].text
    assert len(made.nearest(text)) == len(printed("allocate", "--output", made, "--query", text)["neighbours"])
    analysis = analyze(made)
    there = printed("analyze", made)
    assert list(analysis.figures["calibration"]) == there["calibration"]
    assert "overlap by similarity" in analysis._repr_html_()
    assert all(analysis.plot(name).to_dict() for name in ("overlap", "load", "clusters"))
    with pytest.raises(RequestError, match=r"unknown chart 'lode' \(did you mean 'load'\?\)"):
        analysis.plot("lode")  # type: ignore[arg-type]


def test_a_sweep_gives_its_runs(tiny_llama: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    grid = tmp_path / "grid.yaml"
    fixed = f"{{model: {tiny_llama}, corpus: 'jsonl:{tiny_corpus}', num_docs: 2, layer: 2, epochs: 1, device: cpu, "
    fixed += "dtype: float32}"
    grid.write_text(f"axes: {{allocation: [random, simset2]}}\nfixed: {fixed}\n")
    planned = sweep(grid, save_dir=tmp_path / "out", dry_run=True, quiet=True)
    assert (planned.counts["cells"], planned.runs, list(tmp_path.glob("out/*"))) == (2, [], [])
    swept = sweep(grid, save_dir=tmp_path / "out", quiet=True)
    assert [run.settings["allocation"] for run in swept.runs] == ["random", "simset2"]
    assert swept.to_frame()["done"].all()
    assert "2 of 2 runs done" in swept._repr_html_()


def test_the_main_job_gives_what_the_commands_give(tiny_llama: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    options: dict = {"model": str(tiny_llama), "corpus": f"jsonl:{tiny_corpus}", "num_docs": 4, "layer": 2, "epochs": 2}
    options |= {"entries": 64, "entries_per_doc": 8, "dtype": "float32", "device": "cpu"}
    flags = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", value)]
    by_command = printed("train", *flags, "--save-dir", tmp_path / "command", "--quiet")
    run = train(**options, save_dir=str(tmp_path / "notebook"), quiet=True)
    assert run.manifest["hashes"] == by_command["hashes"]
    assert run.curves["cross_entropy"].iloc[-1] == by_command["final"]["cross_entropy"]
    asked = evaluate([run, by_command["run"]], task=["docmem", "location"], limit=2, quiet=True)
    table = asked.to_frame().pivot(index=["task", "measure"], columns="run", values="value")
    assert table[str(run)].equals(table[by_command["run"]])
    assert "docmem, recall free, limit 2" in Tags(asked._repr_html_()).text
    assert evaluate(tmp_path, task="docmem", limit=2, all=True, quiet=True).results == []
    same = compare(run, by_command["run"])
    assert (same.to_frame()["difference"] == 0).all()
    assert same.changed.empty
    assert "A - B" in Tags(same._repr_html_()).text

    model = MemoryModel.from_pretrained(run)
    inputs = model.tokenizer("The", return_tensors="pt")
    with_memory = model(**inputs).logits
    with model.without_memory():
        alone = model(**inputs).logits
    assert not alone.equal(with_memory)
    assert model(**inputs).logits.equal(with_memory)
