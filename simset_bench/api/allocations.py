"""Allocations of entries in a notebook."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from simset_bench.api import html
from simset_bench.api.checked import PathLike, checked
from simset_bench.errors import RequestError, check_plots, unknown_name
from simset_bench.imports import quick_imports

if TYPE_CHECKING:
    import pandas as pd

    from simset_bench.simset.allocation import Allocation
    from simset_bench.simset.analysis import Pairs
    from simset_bench.simset.neighbours import Neighbour
    from simset_bench.simset.plots import Chart
    from simset_bench.simset.store import Manifest

DEFAULTS: dict[str, Any] = {
    "allocation": "simset2",
    "partition_by": "size",
    "entries": 1024,
    "entries_per_doc": 32,
    "mem_seed": 0,
}
NEIGHBOURS = 10
_CHARTS = ("overlap", "load", "clusters")


@dataclass(frozen=True, repr=False)
class AllocationFile:
    """An allocation in its Parquet file: what `allocate` returns. It is taken wherever the file is.

    Attributes:
        path: The Parquet file.
        manifest: How it was made, and counts of documents, clusters and entries.
    """

    path: Path
    manifest: "Manifest"

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"AllocationFile({str(self.path)!r})"

    @property
    def summary(self) -> str:
        """What it is, in a line."""
        made, merged = self.manifest, ""
        if made.merge_similarity is not None:
            merged = f", merged down to similarity {made.merge_similarity:.3f}"
        elif made.min_similarity is not None:
            merged = f", merged from similarity {made.min_similarity:g} on"
        elif made.cluster_by is not None:
            merged = f" by {made.cluster_by}"
        bad = f", {made.bad_records} malformed records in {self.path}.quarantine.jsonl" if made.bad_records else ""
        return (
            f"{self.path}: {made.strategy} by {made.library}, {made.documents} documents in {made.clusters} "
            f"clusters{merged}, {made.num_entries} entries{bad}"
        )

    def nearest(self, text: str) -> "pd.DataFrame":
        """The documents that a text would share most entries with: `document`, `cluster`, `overlap` (the share of its
        entries) and `similarity` (the Jaccard similarity that this estimates).

        Raises:
            RequestError: The text is empty, or entries do not follow from texts.
        """
        import pandas as pd

        return pd.DataFrame([asdict(each) for each in nearest_documents(self.path, text)])

    def to_frame(self) -> "pd.DataFrame":
        """A row for each document: `document`, `cluster`, and `entries`, sorted numbers in [0, M)."""
        import pandas as pd

        from simset_bench.simset.store import read_allocation

        made = read_allocation(self.path)
        columns = {"document": list(made.document_ids), "cluster": made.clusters, "entries": list(made.entries)}
        return pd.DataFrame(columns)

    def _repr_html_(self) -> str:
        return html.line(self.summary)


def nearest_documents(path: Path, text: str) -> "list[Neighbour]":
    """The documents that a text would share most entries with."""
    from simset_bench.simset.neighbours import nearest_to_text

    return nearest_to_text(path, text, NEIGHBOURS)


@checked
def allocate(
    output: PathLike,
    *,
    corpus: str | None = None,
    num_docs: int | None = None,
    num_clusters: int | None = None,
    cluster_by: str | None = None,
    min_similarity: float | None = None,
    group_by: str = "article",
    match_subjects: PathLike | None = None,
    allocation: str | None = None,
    partition_by: str | None = None,
    entries: int | None = None,
    entries_per_doc: int | None = None,
    mem_seed: int | None = None,
    engine: str | None = None,
    ray: str | None = None,
    max_bad: int = 0,
    append: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
) -> AllocationFile:
    """Allocate memory entries to the documents of a corpus and write them to a file; no model is needed.

    None stands for the default, which is in brackets.

    Args:
        output: A Parquet file to write, or to add documents to.
        corpus: `vital`, `people:count=100`, `jsonl:FILE`, `parquet:FILE`, `mediawiki:FILE`, `hub:NAME` ... [vital].
        num_docs: Number of documents, the first ones of the corpus [all].
        num_clusters: Number of clusters of similar documents that share entries [as many as documents].
        cluster_by: `linkage` (merge the most similar pairs) or `topic` [linkage; topic for many documents].
        min_similarity: In place of num_clusters: merge all pairs of at least this similarity, in (0, 1].
        group_by: What a document is: `article`, `section`, `paragraph`, `paragraphs:N` or `topic`.
        match_subjects: Keep only articles whose title is a subject of this CounterFact file, or of `builtin`.
        allocation: Strategy: `none`, `random`, `partitioned`, `simset1` to `simset3`, `shuffled1` to `shuffled3`
            [simset2].
        partition_by: For `partitioned`: `size`, `length` or `whole` [size].
        entries: Number of entries of the memory, M [1024].
        entries_per_doc: Number of entries of each document, k [32].
        mem_seed: Seed of the draw [0].
        engine: `datasketch` (in memory) or `daft` [by the corpus's size].
        ray: Address of a Ray cluster for daft to run on.
        max_bad: How many malformed records to set aside before giving up.
        append: Add the documents of the corpus to the allocation in `output`, made as that was.
        overwrite: Replace the file in `output`.
        quiet: No notes and no progress.

    Returns:
        The file, which `train(allocation=...)` and `analyze` take.

    Raises:
        RequestError: A value is unknown or out of range, the corpus cannot be read, or the file is there already.

    Examples:
        >>> made = allocate("a.parquet", corpus="people:count=100", overwrite=True)
        >>> made.to_frame().head()
    """
    from simset_bench.corpora.load import CorpusOptions
    from simset_bench.training.config import make_config

    path = Path(output)
    subjects = None if match_subjects is None else os.fspath(match_subjects)
    chosen = {"allocation": allocation, "partition_by": partition_by, "entries": entries}
    chosen |= {"entries_per_doc": entries_per_doc, "mem_seed": mem_seed}
    given = {name: value for name, value in chosen.items() if value is not None}
    merged = {"num_clusters": num_clusters, "cluster_by": cluster_by, "min_similarity": min_similarity}
    options = CorpusOptions(corpus or "vital", group_by, num_docs, subjects)
    make_config(None, corpus=corpus, group_by=group_by, match_subjects=subjects, mem_seed=mem_seed)
    if append:
        from simset_bench.simset.large.append import append_documents

        refuse(given | merged, "--append")
        return AllocationFile(path, append_documents(path, options, max_bad, ray))
    with quick_imports():
        from simset_bench.simset.allocate_to_file import allocate_to_file
        from simset_bench.simset.large.allocate import AllocationRequest

    full = DEFAULTS | given
    request = AllocationRequest(
        options,
        full["allocation"],
        full["entries"],
        full["entries_per_doc"],
        full["mem_seed"],
        num_clusters=num_clusters,
        max_bad=max_bad,
        ray_address=ray,
        partition_by=full["partition_by"],
        cluster_by=cluster_by,
        min_similarity=min_similarity,
    )
    return AllocationFile(path, allocate_to_file(request, path, engine, overwrite))


def refuse(given: dict[str, Any], because: str) -> None:
    """Raise RequestError for the first option that is given beside one that uses an allocation as it is."""
    for name, value in given.items():
        if value is not None:
            flag = name.replace("_", "-")
            raise RequestError(f"--{flag} cannot be combined with {because}, which uses the allocation as it is")


@dataclass(frozen=True, repr=False)
class Analysis:
    """Figures of an allocation: what `analyze` returns. In a notebook it shows them as two tables.

    Attributes:
        strategy: The allocation's strategy.
        figures: Every figure by name: means of overlap and similarity, load of the entries, collisions, cluster sizes,
            and `calibration`, overlap by bands of similarity.
        nearest: The documents that share most entries with the one that was named, empty where none was.
        plots: The files that were written.
    """

    strategy: str
    figures: dict[str, Any]
    nearest: "list[Neighbour]"
    plots: list[str]
    _allocation: "Allocation"
    _pairs: "Pairs"

    def __repr__(self) -> str:
        return f"<analysis of allocation {self.strategy}>"

    def to_frame(self) -> "pd.DataFrame":
        """Overlap by similarity: a row for each band of pairs, with its mean `jaccard` and `overlap`, the overlap that
        is due under simset (`overlap_due`), and how many `pairs` it has."""
        import pandas as pd

        return pd.DataFrame(list(self.figures["calibration"]))

    def plot(self, chart: Literal["overlap", "load", "clusters"] = "overlap") -> "Chart":
        """A plot, an Altair chart: `overlap` against similarity, `load` of the entries, or sizes of `clusters`.

        Raises:
            RequestError: The extra `plots` is not installed, or the chart is unknown.
        """
        if chart not in _CHARTS:
            raise unknown_name("chart", chart, _CHARTS)
        check_plots("Analysis.plot")
        from simset_bench.simset.plots import cluster_chart, load_chart, overlap_chart

        if chart == "overlap":
            return overlap_chart(self._allocation, self._pairs)
        return load_chart(self._allocation) if chart == "load" else cluster_chart(self._allocation)

    def _repr_html_(self) -> str:
        single = {name: value for name, value in self.figures.items() if not isinstance(value, list | tuple)}
        rows = [(name.replace("_", " "), shown_figure(value)) for name, value in single.items()]
        heads = ("Jaccard (mean)", "overlap (mean)", "overlap due", "pairs")
        bands = [
            (*(html.number(row.get(name)) for name in ("jaccard", "overlap", "overlap_due")), row["pairs"])
            for row in self.figures["calibration"]
        ]
        parts = [html.line(f"allocation {self.strategy}", strong=True), html.table(("figure", ""), rows)]
        parts += [html.line("overlap by similarity", strong=True), html.table(heads, bands, left=())]
        if self.nearest:
            near = [
                (each.document, each.cluster, f"{each.overlap:.3f}", f"{each.similarity:.3f}") for each in self.nearest
            ]
            parts.append(html.table(("document", "cluster", "shared entries", "estimated Jaccard"), near))
        return "".join(parts)


def shown_figure(value: float | None) -> str:
    """A figure for people: four digits of small numbers, whole large ones, a dash for None."""
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) and abs(value) < 1000 else f"{value:,.0f}"


@checked
def analyze(allocation: PathLike, *, plots: PathLike | None = None, nearest: str | None = None) -> Analysis:
    """Report figures of an allocation: overlap against similarity, load of the entries, collisions, cluster sizes.

    Of clusters of invented people it also reports how pure they are, by family.

    Args:
        allocation: An allocation's Parquet file, or a run.
        plots: Also write plots into this folder, as PNG and SVG.
        nearest: Also list the documents that share most entries with this one: an id, or a title.

    Returns:
        The figures.

    Raises:
        RequestError: There is no such allocation, or no such document.

    Examples:
        >>> analyze(run).plot("overlap")
    """
    if plots is not None:
        check_plots("--plots")
    with quick_imports():
        import numpy as np

        from simset_bench.simset.analysis import analyze as figures_of
        from simset_bench.simset.analysis import compare_pairs, sample_pairs
        from simset_bench.simset.find_documents import documents_by_number
        from simset_bench.simset.lookup import open_lookup
        from simset_bench.simset.neighbours import nearest_to_document
        from simset_bench.simset.purity import families_of, purity_of

    path = Path(allocation)
    path = path / "allocation.parquet" if path.is_dir() else path
    lookup = open_lookup(path)
    neighbours = nearest_to_document(path, nearest, NEIGHBOURS) if nearest is not None else []
    opened = lookup.allocation()
    sampled: Sequence[int] = np.unique(sample_pairs(lookup.manifest.documents)).tolist() or [0]
    pairs = compare_pairs(opened, documents_by_number(lookup, sampled))
    figures = asdict(figures_of(opened, pairs))
    families = families_of(lookup) if opened.num_clusters < lookup.manifest.documents else None
    if families is not None:
        figures |= asdict(purity_of(opened.clusters, families))
    written: list[str] = []
    if plots is not None:
        from simset_bench.simset.plots import save_plots

        written = [str(file) for file in save_plots(opened, pairs, Path(plots))]
    return Analysis(opened.strategy, figures, neighbours, written, opened, pairs)
