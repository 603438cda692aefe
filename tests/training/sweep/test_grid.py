"""Grids: what is crossed, left out and refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from simset_bench.errors import RequestError
from simset_bench.leaderboard.study import read_study
from simset_bench.package import shipped_grids
from simset_bench.training.sweep.grid import read_grid
from simset_bench.training.sweep.tune import groups_of

WriteGrid = Callable[..., Path]


def written(folder: Path, text: str) -> str:
    path = folder / "grid.yaml"
    path.write_text(text)
    return str(path)


def test_cells_are_the_product_of_the_axes_less_what_is_excluded(tmp_path: Path) -> None:
    text = "axes: {alpha: [0, 1, 2], allocation: [none, random]}\nexclude: [{allocation: none, alpha: [1, 2]}]"
    cells = read_grid(written(tmp_path, text)).cells
    assert [(cell.alpha, cell.allocation) for cell in cells] == [
        (0.0, "none"),
        (0.0, "random"),
        (1.0, "random"),
        (2.0, "random"),
    ]


def test_rows_of_options_that_go_together_are_crossed_with_the_axes(tmp_path: Path) -> None:
    rows = "together:\n  - {mem_seed: 0, corpus: ['people:from=0', 'people:from=0,values=0.8']}"
    rows += "\n  - {corpus: 'people:from=200', mem_seed: 1}"
    grid = read_grid(written(tmp_path, f"{rows}\naxes: {{allocation: [none, random]}}"))
    assert [(cell.mem_seed, cell.corpus, cell.allocation) for cell in grid.cells] == [
        (0, "people:from=0", "none"),
        (0, "people:from=0", "random"),
        (0, "people:from=0,values=0.8", "none"),
        (0, "people:from=0,values=0.8", "random"),
        (1, "people:from=200", "none"),
        (1, "people:from=200", "random"),
    ]
    assert grid.axes["mem_seed"] == (0, 1)


def test_rows_are_the_product_less_the_pairs_that_do_not_go_together(tmp_path: Path) -> None:
    rows = "together: [{seed: 0, alpha: 1}, {seed: 1, alpha: 2}]\naxes: {layer: [1, 2]}"
    product = "axes: {seed: [0, 1], alpha: [1, 2], layer: [1, 2]}\nexclude: [{seed: 0, alpha: 2}, {seed: 1, alpha: 1}]"
    assert read_grid(written(tmp_path, rows)).cells == read_grid(written(tmp_path, product)).cells


def test_a_search_goes_over_options_that_go_together(tmp_path: Path) -> None:
    study = "study: {tune: {corpus: vital, for_each: [alpha], searches: [{try: {lr: [0.01]}, best_by: docmem/nll}]}}"
    path = Path(written(tmp_path, f"together: [{{seed: 0, alpha: 1}}, {{seed: 1, alpha: 2}}]\n{study}"))
    tune = read_study(path).tune
    assert tune is not None
    assert [group.labels for group in groups_of(read_grid(str(path)), tune)] == [{"alpha": 1.0}, {"alpha": 2.0}]


def test_the_full_grid_has_the_designs_1920_runs_less_partitions_that_do_not_fit() -> None:
    grid = read_grid("full")
    assert (len(grid.cells), grid.left_out) == (1632, 288)
    # 1,024 entries are enough for 32 each of 2 or 10 documents.
    assert {cell.num_docs for cell in grid.cells if cell.allocation == "partitioned"} == {2, 10}


def test_partitions_of_too_many_documents_or_clusters_are_left_out_and_counted(tmp_path: Path) -> None:
    sizes = "num_docs: [2, 4], num_clusters: [2, null], entries_per_doc: [8, 16]"
    text = f"axes: {{{sizes}, allocation: [partitioned, random]}}\nfixed: {{entries: 32}}"
    grid = read_grid(written(tmp_path, text))
    kept = {(c.num_docs, c.num_clusters, c.entries_per_doc) for c in grid.cells if c.allocation == "partitioned"}
    every = {(c.num_docs, c.num_clusters, c.entries_per_doc) for c in grid.cells if c.allocation == "random"}
    assert (every - kept, grid.left_out) == ({(4, None, 16)}, 1)


def test_a_grid_of_partitions_that_do_not_fit_says_so(tmp_path: Path) -> None:
    text = "axes: {num_docs: [40, 50]}\nfixed: {allocation: partitioned}"
    with pytest.raises(RequestError, match=r"no cell of the grid can exist: .*50 documents or clusters with --entries"):
        read_grid(written(tmp_path, text))


def test_the_layer_search_goes_in_steps_of_a_tenth_without_structure() -> None:
    grid = read_grid("layer_search")
    assert grid.axes["layer"] == tuple(round(step / 10, 1) for step in range(1, 10))
    assert {cell.alpha for cell in grid.cells} == {0.0}


@pytest.mark.parametrize("name", ["quick", "layer_search", "main", "full"])
def test_shipped_grids_can_be_named_or_given_by_path(name: str) -> None:
    assert read_grid(name).cells == read_grid(str(shipped_grids()[name])).cells


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("axes: {alhpa: [1]}", "alhpa.*did you mean 'alpha'"),
        ("axes: {alpha: 1}", "axes.alpha: expected a list"),
        ("axes: {alpha: []}", "axes.alpha: expected a list"),
        ("axes: {alpha: [big]}", "alpha must be float"),
        ("axes: {alpha: [-1]}", "--alpha -1"),
        ("axes: {alpha: [1, 1.0]}", "stands there twice"),
        ("axes: {alpha: [1]}\nfixed: {alpha: 2}", "both an axis and fixed"),
        ("axes: {alpha: [1]}\nexclude: [{alpha: 1}]", "leaves no cell"),
        ("axes: {alpha: [1]}\nexclude: [{layer: 1}]", "layer.* is no axis"),
        ("axes: {num_clusters: [4], num_docs: [2]}", "more clusters than documents"),
        ("axes: {min_similarity: [0.5, 2]}", "--min-similarity 2.0: must be above 0 and at most 1"),
        ("axes: {min_similarity: [0.5]}\nfixed: {num_clusters: 4}", "--num-clusters 4 cannot be combined with"),
        ("axes: {cluster_by: [linkage, topic]}", "--cluster-by topic needs --num-clusters"),
        ("axes: {allocation: [random, simset9]}", "unknown allocation 'simset9'.*did you mean 'simset1'"),
        ("axes: {alpha: [1]}\nfixed: {allocation_file: a.parquet}", "allocation_file a.parquet: a sweep draws entries"),
        ("axes: {}", "name at least one option"),
        ("together: {alpha: [1]}", "together: expected a list"),
        ("together: [alpha]", r"together\[0\]: expected options with values, found 'alpha'"),
        ("together: [{alpha: 1}, {alpah: 2}]", r"together\[1\]: names alpah, and together\[0\] alpha"),
        ("together: [{alpha: 1}, {alpha: []}]", r"together\[1\].alpha: expected a list"),
        ("together: [{alpha: 1}, {alpha: big}]", "alpha must be float"),
        ("together: [{alhpa: 1}]", r"together\[0\].alhpa: unknown option.*did you mean 'alpha'"),
        ("together: [{alpha: 1}]\naxes: {alpha: [1]}", "alpha is both an axis and in together"),
        ("together: [{alpha: 1}]\nfixed: {alpha: 1}", "alpha is both an axis and fixed"),
        ("axis: {alpha: [1]}", "unknown part 'axis'.*did you mean 'axes'"),
        ("- alpha", "expected a mapping"),
        ("axes: {alpha: [1", "not YAML"),
        ("axes: {alpha: [1.0], alpha: [2.0]}", "'alpha' stands twice"),
        ("axes: {alpha: [1.0]}\naxes: {seed: [1]}", "'axes' stands twice"),
        ("axes: " + "[" * 5000, "not YAML"),
        (
            f"axes: {{alpha: [{', '.join(f'{each}.0' for each in range(999))}], seed: {[*range(999)]}}}",
            "make 998,001 cells, more than 100,000",
        ),
    ],
)
def test_a_wrong_grid_is_refused_with_its_field(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        read_grid(written(tmp_path, text))


def test_an_unknown_grid_names_the_shipped_ones() -> None:
    with pytest.raises(RequestError, match=r"did you mean .quick..*shipped are") as error:
        read_grid("quik")
    assert all(name in str(error.value) for name in ("full", "layer_search", "main", "people_quick", "quick"))


def test_a_method_is_crossed_with_the_axes_that_it_uses(write_grid: WriteGrid) -> None:
    axes = {"method": ["memory", "lora", "guidance", "none"], "allocation": ["random", "simset2"], "alpha": [0.0, 1.0]}
    cells = read_grid(str(write_grid(axes, num_docs=4))).cells
    found = [(cell.method, cell.alpha) for cell in cells]
    assert found == [
        *[("memory", 0.0), ("memory", 1.0)] * 2,
        ("lora", 1.0),
        ("guidance", 0.0),
        ("guidance", 1.0),
        ("none", 1.0),
    ]
    assert {cell.lr for cell in cells if cell.method == "lora"} == {1e-3}
    assert {cell.entries for cell in cells if cell.method == "lora"} == {64}


def test_without_the_axis_an_option_of_another_method_is_refused(write_grid: WriteGrid) -> None:
    with pytest.raises(RequestError, match=r"grid.yaml: --\S+ \S+: --method none does not use it"):
        read_grid(str(write_grid({"alpha": [0.5, 1.0]}, method="none")))


@pytest.mark.parametrize("part", ["axes: {replay: [0.0, 0.5]}", "axes: {alpha: [1.0]}\nfixed: {continued_from: run}"])
def test_a_grid_does_not_continue_runs(tmp_path: Path, part: str) -> None:
    with pytest.raises(RequestError, match="goes with train --continue, and a sweep begins its runs"):
        read_grid(written(tmp_path, part))
