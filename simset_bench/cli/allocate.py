"""`simset-bench allocate`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simset_bench.api.allocations import allocate as write_allocation
from simset_bench.api.allocations import nearest_documents, refuse
from simset_bench.cli.options import Debug, Json, Quiet, print_json
from simset_bench.console import printable, say, stdout
from simset_bench.simset.strategies import STRATEGIES

if TYPE_CHECKING:
    from simset_bench.simset.neighbours import Neighbour

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
    options: dict[str, Any] = {"allocation": allocation, "partition_by": partition_by, "entries": entries}
    options |= {"entries_per_doc": entries_per_doc, "mem_seed": mem_seed}
    options |= {"num_clusters": num_clusters, "cluster_by": cluster_by, "min_similarity": min_similarity}
    if query is not None:
        refuse(options | {"append": append or None, "corpus": corpus}, "--query")
        neighbours = nearest_documents(output, query)
        if json_output:
            print_json({"allocation": str(output), "neighbours": [asdict(neighbour) for neighbour in neighbours]})
        else:
            stdout.print(neighbour_table(neighbours))
        return
    options |= {"corpus": corpus, "num_docs": num_docs, "group_by": group_by, "match_subjects": match_subjects}
    options |= {"engine": engine, "ray": ray, "max_bad": max_bad, "append": append, "overwrite": overwrite}
    made = write_allocation(output, **options)
    if json_output:
        print_json({"output": str(output), "allocation": made.manifest.strategy, **made.manifest.as_json()})
    else:
        say(made.summary)


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
