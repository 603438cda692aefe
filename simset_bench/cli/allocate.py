"""`simset-bench allocate`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simset_bench.cli.options import Debug, Json, Quiet, print_json
from simset_bench.console import printable, say, stdout
from simset_bench.errors import RequestError
from simset_bench.imports import quick_imports
from simset_bench.simset.strategies import STRATEGIES

if TYPE_CHECKING:
    from simset_bench.simset.neighbours import Neighbour
    from simset_bench.simset.store import Manifest

DEFAULTS: dict[str, Any] = {
    "allocation": "simset2",
    "partition_by": "size",
    "entries": 1024,
    "entries_per_doc": 32,
    "mem_seed": 0,
}
NEIGHBOURS = 10
STRATEGY_HELP = f"{'; '.join(f'{name}: {strategy.what}' for name, strategy in STRATEGIES.items())} [simset2]."
PARTITION_HELP = (
    "For partitioned: size (--entries-per-doc each), length (all entries, by the documents' lengths) or whole (all "
    "entries, shared out equally) [size]."
)
CLUSTER_BY_HELP = (
    "linkage (merge the most similar pairs) or topic (--num-clusters groups of kindred documents) [linkage; topic for "
    "more than 20,000 documents, ten or more a cluster]."
)
MIN_SIMILARITY_HELP = "In place of --num-clusters: merge all pairs of at least this similarity, above 0 and at most 1."


def command(
    output: Annotated[
        Path, typer.Option(help="The allocation: a Parquet file to write, to add documents to, or to query.")
    ],
    corpus: Annotated[
        str | None, typer.Option(help="vital, jsonl:FILE, parquet:FILE, mediawiki:FILE, hub:NAME ... [vital].")
    ] = None,
    num_docs: Annotated[
        int | None, typer.Option(help="Number of documents, the first ones of the corpus [all].")
    ] = None,
    num_clusters: Annotated[
        int | None,
        typer.Option(help="Number of clusters of similar documents that share entries [as many as documents]."),
    ] = None,
    cluster_by: Annotated[str | None, typer.Option(help=CLUSTER_BY_HELP)] = None,
    min_similarity: Annotated[float | None, typer.Option(help=MIN_SIMILARITY_HELP)] = None,
    group_by: Annotated[
        str, typer.Option(help="What a document is: article, section, paragraph, paragraphs:N or topic.")
    ] = "article",
    match_subjects: Annotated[
        str | None,
        typer.Option(help="Keep only articles whose title is a subject of this CounterFact file, or of builtin."),
    ] = None,
    allocation: Annotated[str | None, typer.Option(help=STRATEGY_HELP)] = None,
    partition_by: Annotated[str | None, typer.Option(help=PARTITION_HELP)] = None,
    entries: Annotated[int | None, typer.Option(help="Number of entries of the memory, M [1024].")] = None,
    entries_per_doc: Annotated[int | None, typer.Option(help="Number of entries of each document, k [32].")] = None,
    mem_seed: Annotated[int | None, typer.Option(help="Seed of the draw [0].")] = None,
    engine: Annotated[str | None, typer.Option(help="datasketch (in memory) or daft [by the corpus's size].")] = None,
    ray: Annotated[str | None, typer.Option(help="Address of a Ray cluster for daft to run on.")] = None,
    max_bad: Annotated[int, typer.Option(help="How many malformed records to set aside before giving up.")] = 0,
    append: Annotated[
        bool, typer.Option("--append", help="Add the documents of the corpus to the allocation in --output.")
    ] = False,
    query: Annotated[
        str | None,
        typer.Option(help="List the documents that this text would share most entries with; writes nothing."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file in --output.")] = False,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Allocate memory entries to the documents of a corpus and write the allocation to a file; no model is needed.

    With --append, add documents to an allocation; with --query, look a text up in one. Defaults stand in brackets.
    """
    from simset_bench.corpora.load import CorpusOptions
    from simset_bench.training.config import make_config

    chosen = {
        "allocation": allocation,
        "partition_by": partition_by,
        "entries": entries,
        "entries_per_doc": entries_per_doc,
        "mem_seed": mem_seed,
    }
    given = {name: value for name, value in chosen.items() if value is not None}
    merged = {"num_clusters": num_clusters, "cluster_by": cluster_by, "min_similarity": min_similarity}
    merged = {name: value for name, value in merged.items() if value is not None}
    if query is not None:
        others = ({"append": True} if append else {}) | ({"corpus": corpus} if corpus else {})
        _refuse(given | merged | others, "--query")
        _print_neighbours(output, query, json_output)
        return
    options = CorpusOptions(corpus or "vital", group_by, num_docs, match_subjects)
    make_config(None, corpus=corpus, group_by=group_by, match_subjects=match_subjects, mem_seed=mem_seed)
    if append:
        from simset_bench.simset.large.append import append_documents

        _refuse(given | merged, "--append")
        _print_summary(output, append_documents(output, options, max_bad, ray), json_output)
        return
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
    _print_summary(output, allocate_to_file(request, output, engine, overwrite), json_output)


def _refuse(given: dict[str, Any], because: str) -> None:
    if given:
        name = next(iter(given)).replace("_", "-")
        raise RequestError(f"--{name} cannot be combined with {because}, which uses the allocation as it is")


def _print_summary(output: Path, manifest: "Manifest", json_output: bool) -> None:
    if json_output:
        print_json({"output": str(output), "allocation": manifest.strategy, **manifest.as_json()})
        return
    merged = ""
    if manifest.merge_similarity is not None:
        merged = f", merged down to similarity {manifest.merge_similarity:.3f}"
    elif manifest.min_similarity is not None:
        merged = f", merged from similarity {manifest.min_similarity:g} on"
    elif manifest.cluster_by is not None:
        merged = f" by {manifest.cluster_by}"
    bad = f", {manifest.bad_records} malformed records in {output}.quarantine.jsonl" if manifest.bad_records else ""
    say(
        f"{output}: {manifest.strategy} by {manifest.library}, "
        f"{manifest.documents} documents in {manifest.clusters} clusters{merged}, "
        f"{manifest.num_entries} entries{bad}"
    )


def _print_neighbours(output: Path, text: str, json_output: bool) -> None:
    from simset_bench.simset.neighbours import nearest_to_text

    neighbours = nearest_to_text(output, text, NEIGHBOURS)
    if json_output:
        print_json({"allocation": str(output), "neighbours": [asdict(neighbour) for neighbour in neighbours]})
        return
    stdout.print(neighbour_table(neighbours))


def neighbour_table(neighbours: list["Neighbour"]) -> Any:
    """A table of the documents that share most entries, for the terminal."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("document", "cluster", "shared entries", "estimated Jaccard"):
        table.add_column(name, justify="left" if name == "document" else "right")
    for neighbour in neighbours:
        share, similarity = f"{neighbour.overlap:.3f}", f"{neighbour.similarity:.3f}"
        table.add_row(printable(neighbour.document), str(neighbour.cluster), share, similarity)
    return table
