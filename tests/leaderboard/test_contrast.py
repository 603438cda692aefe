"""One allocation against another wherever all else is equal, and the verdicts."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner, Result

from simset_bench.cli.app import app
from simset_bench.leaderboard.contrast import Contrast, contrasts, telling, verdict_of
from simset_bench.leaderboard.contrast_table import contrast_remarks
from simset_bench.results.differences import Difference
from simset_bench.results.read import read_runs

Write = Callable[..., Path]
SEEDS, DOCUMENTS = 4, 20


@pytest.fixture
def study(write_run: Write, tmp_path: Path) -> dict[str, np.ndarray]:
    """Two allocations on two blocks, four seeds each; random entries lose half a nat on block 2 alone.

    The values (seeds, documents) by allocation and block."""
    generator = np.random.default_rng(0)
    values = {}
    for layer, loss in ((2, 0.5), (12, 0.0)):
        hard = generator.normal(3, 0.3, (1, DOCUMENTS))
        for allocation, more in (("simset2", 0.0), ("random", loss)):
            values[f"{allocation} {layer}"] = hard + more + generator.normal(0, 0.05, (SEEDS, DOCUMENTS))
            for seed in range(SEEDS):
                of_seed = values[f"{allocation} {layer}"][seed].tolist()
                write_run({"docmem": {"nll": of_seed}}, allocation=allocation, layer=layer, mem_seed=seed)
    return values


def found(tmp_path: Path, *between: str, **options: object) -> list[Contrast]:
    asked = between or ("allocation=random,simset2",)
    return contrasts(read_runs([tmp_path]), asked, "docmem/nll", **options)[1]  # type: ignore[arg-type]


def test_rows_are_set_against_each_other_where_all_else_is_equal(study: dict[str, np.ndarray], tmp_path: Path) -> None:
    on_two, on_twelve = found(tmp_path, margin=0.1)
    assert [on_two.labels, on_twelve.labels] == [{"layer": 2}, {"layer": 12}]
    for each in (on_two, on_twelve):
        apart = study[f"random {each.labels['layer']}"] - study[f"simset2 {each.labels['layer']}"]
        assert each.difference.value == pytest.approx(apart.mean())
        # Both sources of error count, so that p is above that of the paired test of either alone.
        assert each.difference.p_value is not None
        assert each.difference.p_value >= stats.ttest_1samp(apart.mean(0), 0).pvalue
    assert (on_two.verdict, on_twelve.verdict) == ("more", "no difference")
    turned = found(tmp_path, "allocation=simset2,random", margin=0.1)
    assert [each.verdict for each in turned] == ["less", "no difference"]
    assert [each.difference.value for each in turned] == pytest.approx(
        [-on_two.difference.value, -on_twelve.difference.value]
    )


def test_without_a_margin_nothing_is_no_difference(study: dict[str, np.ndarray], tmp_path: Path) -> None:
    assert [each.verdict for each in found(tmp_path)] == ["more", "cannot tell"]


def test_numbers_are_values_too(study: dict[str, np.ndarray], tmp_path: Path) -> None:
    (first, second) = found(tmp_path, "layer=2,12.0")
    assert [first.labels, second.labels] == [{"allocation": "random"}, {"allocation": "simset2"}]


def test_people_of_each_seed_are_one_row(write_run: Write, tmp_path: Path) -> None:
    """Which people a run was trained on is a draw, as its seed is."""
    for allocation, more in (("random", 0.2), ("simset2", 0.0)):
        for seed in range(3):
            values = (np.arange(8.0) + more + 0.001 * seed).tolist()
            corpus = f"people:count=8,from={8 * seed},wording=0.8"
            write_run({"docmem": {"nll": values}}, allocation=allocation, corpus=corpus, mem_seed=seed)
    table = read_runs([tmp_path])
    assert set(table.runs["corpus"]) == {"people:count=8,wording=0.8"}
    assert set(table.runs["people"]) == {"from=0", "from=8", "from=16"}
    (only,) = found(tmp_path)
    assert (only.first.runs, only.second.runs) == (3, 3)
    assert only.difference.value == pytest.approx(0.2) and only.verdict == "more"


@pytest.mark.parametrize("own_people", [True, False])
def test_seeds_that_one_side_lacks_are_left_out(write_run: Write, tmp_path: Path, own_people: bool) -> None:
    """The means, the difference and its error are all of the seeds that both sides have."""

    def write(allocation: str, seeds: range, more: float) -> None:
        for seed in seeds:
            values = (np.arange(8.0) % 3 + more + 0.1 * seed**2).tolist()
            people = f"people:count=8,from={8 * seed if own_people else 0},wording=0.8"
            write_run({"docmem": {"nll": values}}, allocation=allocation, corpus=people, mem_seed=seed)

    write("random", range(5), 0.2)
    write("simset2", range(3), 0.0)
    (some,) = found(tmp_path)
    assert (some.first.runs, some.second.runs) == (3, 3)
    assert some.first.value - some.second.value == pytest.approx(some.difference.value) == pytest.approx(0.2)
    assert some.verdict == "more"
    write("simset2", range(3, 5), 0.0)
    (every,) = found(tmp_path)
    assert (every.first.runs, every.first.value > some.first.value) == (5, True)


def test_rows_that_share_one_seed_are_not_paired_by_seed(write_run: Write, tmp_path: Path) -> None:
    for allocation, seeds in (("random", range(3)), ("simset2", range(2, 5))):
        for seed in seeds:
            write_run({"docmem": {"nll": [0.1, 0.2 + seed]}}, allocation=allocation, mem_seed=seed)
    (only,) = found(tmp_path)
    assert (only.first.runs, only.second.runs) == (3, 3)


def test_invented_people_have_a_column_for_each_key_that_differs(write_run: Write, tmp_path: Path) -> None:
    def write(corpus: str) -> None:
        for allocation in ("random", "simset2"):
            write_run({"docmem": {"nll": [0.1, 0.2]}}, allocation=allocation, corpus=corpus)

    write("people:count=8")
    write("people:count=8,family=5,wording=0.8,values=0.2")
    assert [each.labels for each in found(tmp_path)] == [
        {"wording": 0.0, "values": 0.0},
        {"wording": 0.8, "values": 0.2},
    ]
    write("people:count=8,height=2")
    assert found(tmp_path)[0].labels == {"corpus": "people:count=8"}


def test_a_rate_that_follows_from_the_entries_is_no_column_of_its_own(
    write_run: Write, command: Callable[..., Result], tmp_path: Path
) -> None:
    def write(entries: int, lr: float) -> None:
        for allocation in ("random", "simset2"):
            write_run({"docmem": {"nll": [0.1, 0.2]}}, allocation=allocation, entries=entries, lr=lr)

    write(128, 0.02)
    write(512, 0.01)
    contrasted = found(tmp_path)
    assert [each.labels for each in contrasted] == [{"entries": 128, "lr": 0.02}, {"entries": 512, "lr": 0.01}]
    assert telling(contrasted) == ["entries"]
    shown = command("--between", "allocation=random,simset2").stdout
    assert "left out, since the other columns settle it: lr" in shown and "0.02" not in shown
    # Two rates of one number of entries are told apart by the rate.
    write(512, 0.03)
    assert telling(found(tmp_path)) == ["entries", "lr"]


def test_over_seeds_alone_it_is_the_paired_t_test_of_the_means_of_runs(
    study: dict[str, np.ndarray], command: Callable[..., Result], tmp_path: Path
) -> None:
    means = {name: values.mean(1) for name, values in study.items()}
    tests = [stats.ttest_rel(means[f"random {layer}"], means[f"simset2 {layer}"]) for layer in (2, 12)]
    each = found(tmp_path, margin=0.1, over_seeds=True)
    for contrast, test in zip(each, tests, strict=True):
        interval = test.confidence_interval()
        assert contrast.difference.p_value == pytest.approx(test.pvalue)
        assert (contrast.difference.low, contrast.difference.high) == pytest.approx((interval.low, interval.high))
    assert [contrast.verdict for contrast in each] == ["more", "no difference"]
    apart = np.concatenate([means[f"random {layer}"] - means[f"simset2 {layer}"] for layer in (2, 12)])
    asked = ["--between", "allocation=random,simset2", "--over-seeds"]
    every = json.loads(command(*asked, "--json").stdout)["together"]
    test = stats.ttest_1samp(apart, 0)
    interval = test.confidence_interval()
    assert every == pytest.approx(
        {
            "differences": 8,
            "difference": apart.mean(),
            "low": interval.low,
            "high": interval.high,
            "p_value": test.pvalue,
        }
    )
    text = " ".join(command(*asked).stdout.split())
    assert (
        "paired over seeds alone" in text and f"all 8 differences by seed as draws of one: {apart.mean():+.3f}" in text
    )


def test_over_seeds_alone_pairs_by_seed_and_takes_two(write_run: Write, tmp_path: Path) -> None:
    """Runs are found in the order of their folders, and a seed that one side lacks is no pair."""
    values = {"random": {0: 1.0, 1: 2.0, 2: 4.0}, "none": {2: 3.0, 0: 0.5, 9: 50.0}, "simset2": {2: 1.0}}
    for allocation, by_seed in values.items():
        for seed, value in by_seed.items():
            write_run({"docmem": {"nll": [value] * 8}}, allocation=allocation, mem_seed=seed)
    (paired,) = found(tmp_path, "allocation=random,none", over_seeds=True)
    test = stats.ttest_rel([1.0, 4.0], [0.5, 3.0])
    assert (paired.difference.value, paired.difference.p_value) == pytest.approx((0.75, test.pvalue))
    (single,) = found(tmp_path, "allocation=random,simset2", over_seeds=True)
    assert single.difference.p_value is None and not single.difference.about_settings
    assert single.verdict == "cannot tell"
    assert "rows that share fewer than two seeds have no test over seeds (mem_seed)" in contrast_remarks(
        [single], 0.0, over_seeds=True
    )


def test_over_seeds_alone_equal_differences_are_no_evidence(write_run: Write, tmp_path: Path) -> None:
    for allocation, more in (("random", 0.1), ("none", 0.0)):
        for seed in range(3):
            write_run({"docmem": {"nll": [1.0 + seed + more] * 8}}, allocation=allocation, mem_seed=seed)
    (alike,) = found(tmp_path, "allocation=random,none", over_seeds=True, margin=1.0)
    assert (alike.difference.p_value, alike.difference.low, alike.verdict) == (None, None, "cannot tell")


def test_rows_may_differ_in_several_options(write_run: Write, command: Callable[..., Result], tmp_path: Path) -> None:
    """Allocations that have each a rate of their own: the pairs are of those two rates alone."""
    for allocation, lr, value in (
        ("random", 0.03, 3.0),
        ("random", 0.01, 5.0),
        ("none", 0.01, 1.0),
        ("none", 0.03, 7.0),
    ):
        for layer in (2, 12):
            write_run({"docmem": {"nll": [value, value + 0.5]}}, allocation=allocation, lr=lr, layer=layer)
    both = ("allocation=random,none", "lr=0.03,0.01")
    contrasted = found(tmp_path, *both)
    assert [(each.labels, each.difference.value) for each in contrasted] == [({"layer": 2}, 2.0), ({"layer": 12}, 2.0)]
    assert [each.difference for each in found(tmp_path, *reversed(both))] == [each.difference for each in contrasted]
    asked = [part for option in both for part in ("--between", option)]
    assert "random, 0.03" in command(*asked).stdout
    assert json.loads(command(*asked, "--json").stdout)["between"] == list(both)


def test_a_cluster_for_every_document_is_no_column_of_its_own(write_run: Write, tmp_path: Path) -> None:
    def write(documents: int, clusters: int) -> None:
        for allocation in ("random", "simset2"):
            write_run({"docmem": {"nll": [0.1, 0.2]}}, allocation=allocation, num_docs=documents, num_clusters=clusters)

    write(50, 50)
    write(100, 100)
    assert telling(found(tmp_path)) == ["documents"]
    write(100, 20)
    assert telling(found(tmp_path)) == ["documents", "clusters"]


def test_how_partitions_are_cut_is_no_difference_from_random_entries(write_run: Write, tmp_path: Path) -> None:
    for allocation, cut in (("partitioned", "size"), ("random", None)):
        write_run({"docmem": {"nll": [0.1, 0.2]}}, allocation=allocation, partition_by=cut)
    assert len(found(tmp_path, "allocation=partitioned,random")) == 1


def test_single_runs_say_nothing_about_their_settings(write_run: Write, tmp_path: Path) -> None:
    for allocation, more in (("random", 5.0), ("simset2", 0.0)):
        write_run(
            {"docmem": {"nll": (np.arange(12.0) % 3 + more + np.arange(12) * 0.01).tolist()}}, allocation=allocation
        )
    assert found(tmp_path, margin=9.0)[0].verdict == "cannot tell"


@pytest.mark.parametrize(
    ("limits", "p", "verdict"),
    [
        ((0.2, 0.4), 0.01, "more"),
        ((-0.4, -0.2), 0.01, "less"),
        ((-0.05, 0.09), 0.8, "no difference"),
        ((0.01, 0.09), 0.2, "no difference"),
        ((-0.05, 0.11), 0.8, "cannot tell"),
        ((None, None), 1.0, "cannot tell"),
    ],
)
def test_verdicts(limits: tuple[float | None, float | None], p: float, verdict: str) -> None:
    low, high = limits
    middle = 0.0 if low is None or high is None else (low + high) / 2
    assert verdict_of(Difference(middle, low, high, 20), p, 0.1) == verdict


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The command in `tmp_path`, where `write_run` writes below `outputs`."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, ["contrast", *map(str, arguments)])


def test_the_formats_and_the_plot(study: dict[str, np.ndarray], command: Callable[..., Result], tmp_path: Path) -> None:
    asked = ["--between", "allocation=random,simset2", "--margin", "0.1"]
    table = command(*asked, "--plot", "plot.svg")
    assert table.exit_code == 0, table.output
    assert "more" in table.stdout and "after Holm's correction over 2" in " ".join(table.stdout.split())
    assert "docmem/nll: allocation random less simset2" in (tmp_path / "plot.svg").read_text()
    markdown = command(*asked, "--format", "markdown").stdout.splitlines()
    assert markdown[0].startswith("| layer | random | simset2 | difference (95%) |") and len(markdown) == 4
    record = json.loads(command(*asked, "--json").stdout)["contrasts"][0]
    assert (
        record["layer"] == 2 and record["verdict"] == "more" and record["low"] < record["difference"] < record["high"]
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--between", "allocation=random"], "write COLUMN=FIRST,SECOND"),
        (["--between", "alocation=random,none"], "unknown column 'alocation' (did you mean 'allocation'?)"),
        (["--between", "allocation=random,simset3"], "no row has allocation simset3 (did you mean 'simset2'?)"),
        (["--between", "layer=2,2.0"], "2 and 2.0 are one value of layer, name two"),
        (["--between", "layer=2,12", "--where", "allocation=='random' and layer==2"], "no row has layer 12"),
        (["--between", "layer=2,12", "--between", "layer=12,2"], "--between 'layer=12,2': layer is named twice"),
        (["--between", "layer=2,12", "--between", "alpha=2,1"], "no row has alpha 2"),
        (["--between", "layer=2,12", "--margin", "-1"], "--margin -1.0: must be a finite number, 0 or more"),
        (["--between", "layer=2,12", "--plot", "plot.gif"], "--plot plot.gif: the name must end in .svg or .png"),
        (["--between", "layer=2,12", "--format", "tabel"], "did you mean 'table'?"),
        (["missing", "--between", "layer=2,12"], "missing: there is no such folder"),
    ],
)
def test_a_wrong_request_is_one_line(
    study: dict[str, np.ndarray], command: Callable[..., Result], arguments: list[str], message: str
) -> None:
    done = command(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr and done.stderr.count("\n") == 1
