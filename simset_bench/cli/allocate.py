"""`simset-bench allocate`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simset_bench.cli.options import Debug, Json, Quiet, print_json
from simset_bench.console import stdout
from simset_bench.errors import RequestError
from simset_bench.simset.strategies import STRATEGIES

if TYPE_CHECKING:
    from simset_bench.corpora.load import CorpusOptions

DEFAULTS = {"allocation": "simset2", "partition_by": "size", "entries": 1024, "entries_per_doc": 32, "mem_seed": 0}
NEIGHBOURS = 10
STRATEGY_HELP = f"{'; '.join(f'{name}: {strategy.what}' for name, strategy in STRATEGIES.items())} [simset2]."
PARTITION_HELP = (
    "For partitioned: size (--entries-per-doc each), length (all entries, by the documents' lengths) or whole (all "
    "entries, shared out equally) [size]."
)


def command(
    output: Annotated[Path, typer.Option(help="Parquet file to write, to add to or to ask.")],
    corpus: Annotated[
        str | None, typer.Option(help="vital, jsonl:FILE, parquet:FILE, mediawiki:FILE, hub:NAME ... [vital].")
    ] = None,
    num_docs: Annotated[int | None, typer.Option(help="How many documents, from the first on [all].")] = None,
    num_clusters: Annotated[int | None, typer.Option(help="Groups that share entries [one a document].")] = None,
    group_by: Annotated[str, typer.Option(help="article, section, paragraph, paragraphs:N or topic.")] = "article",
    match_subjects: Annotated[
        str | None, typer.Option(help="Keep articles whose title is a subject of this CounterFact file, or of builtin.")
    ] = None,
    allocation: Annotated[str | None, typer.Option(help=STRATEGY_HELP)] = None,
    partition_by: Annotated[str | None, typer.Option(help=PARTITION_HELP)] = None,
    entries: Annotated[int | None, typer.Option(help="Entries of the memory, M [1024].")] = None,
    entries_per_doc: Annotated[int | None, typer.Option(help="Entries of a document, k [32].")] = None,
    mem_seed: Annotated[int | None, typer.Option(help="Seed of the draw [0].")] = None,
    engine: Annotated[str | None, typer.Option(help="datasketch (in memory) or daft [by the corpus's size].")] = None,
    ray: Annotated[str | None, typer.Option(help="Address of a Ray cluster for daft to run on.")] = None,
    max_bad: Annotated[int, typer.Option(help="Malformed records to set aside before giving up.")] = 0,
    append: Annotated[bool, typer.Option("--append", help="Add the corpus to the allocation that is there.")] = False,
    query: Annotated[
        str | None, typer.Option(help="Name the documents whose memory this text would share; writes nothing.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Allocate entries to documents and write the allocation alone, without a model. Defaults stand in brackets."""
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
    if query is not None:
        _refuse(given | ({"append": True} if append else {}) | ({"corpus": corpus} if corpus else {}), "--query")
        _print_neighbours(output, query, json_output)
        return
    options = CorpusOptions(corpus or "vital", group_by, num_docs, match_subjects)
    make_config(None, corpus=corpus, group_by=group_by, match_subjects=match_subjects, mem_seed=mem_seed)
    made = (
        _append(output, options, max_bad, ray, given | ({"num_clusters": num_clusters} if num_clusters else {}))
        if append
        else _allocate(output, options, DEFAULTS | given, (num_clusters, max_bad, ray, engine), overwrite)
    )
    _print_made(output, made, json_output)


def _refuse(given: dict[str, Any], because: str) -> None:
    if given:
        name = next(iter(given)).replace("_", "-")
        raise RequestError(f"--{name} does not go with {because}, which takes the allocation as it was made")


def _append(output: Path, options: "CorpusOptions", max_bad: int, ray: str | None, given: dict[str, Any]) -> Any:
    from simset_bench.simset.large.append import append_documents

    _refuse(given, "--append")
    return append_documents(output, options, max_bad, ray)


def _allocate(
    output: Path,
    options: "CorpusOptions",
    chosen: dict[str, Any],
    how: tuple[int | None, int, str | None, str | None],
    overwrite: bool,
) -> Any:
    from simset_bench.simset.allocate_to_file import allocate_to_file
    from simset_bench.simset.large.allocate import AllocationRequest

    if output.exists() and not overwrite:
        raise RequestError(f"--output {output}: is already there (--overwrite replaces it), and --append adds to it")
    num_clusters, max_bad, ray, engine = how
    numbers = (chosen["entries"], chosen["entries_per_doc"], chosen["mem_seed"], num_clusters, max_bad, ray)
    request = AllocationRequest(options, chosen["allocation"], *numbers, chosen["partition_by"])
    return allocate_to_file(request, output, engine)


def _print_made(output: Path, made: Any, json_output: bool) -> None:
    if json_output:
        print_json({"output": str(output), "allocation": made.strategy, **made.as_json()})
        return
    merged = f", merged down to similarity {made.merge_similarity:.3f}" if made.merge_similarity is not None else ""
    bad = f", {made.bad_records} malformed records in {output}.quarantine.jsonl" if made.bad_records else ""
    print(
        f"{output}: {made.strategy} by {made.library}, {made.documents} documents in {made.clusters} clusters{merged}, "
        f"{made.num_entries} entries{bad}"
    )


def _print_neighbours(output: Path, text: str, json_output: bool) -> None:
    from simset_bench.simset.neighbours import nearest_to_text

    found = nearest_to_text(output, text, NEIGHBOURS)
    if json_output:
        print_json({"allocation": str(output), "neighbours": [asdict(neighbour) for neighbour in found]})
        return
    stdout.print(neighbour_table(found))


def neighbour_table(found: list[Any]) -> Any:
    """A table of the documents that share most entries, for the terminal."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("document", "cluster", "shared entries", "estimated Jaccard"):
        table.add_column(name, justify="left" if name == "document" else "right")
    for neighbour in found:
        share, similarity = f"{neighbour.overlap:.3f}", f"{neighbour.similarity:.3f}"
        table.add_row(escape(neighbour.document), str(neighbour.cluster), share, similarity)
    return table
