"""`simset-bench allocate`."""

from pathlib import Path
from typing import Annotated

import typer

from simset_bench.cli.options import Debug, Json, Quiet, print_json
from simset_bench.errors import RequestError


def command(
    output: Annotated[Path, typer.Option(help="Parquet file to write.")],
    corpus: Annotated[
        str, typer.Option(help="vital, squad:FILE, wikitext:FILE, jsonl:FILE, text:FOLDER or hub:NAME.")
    ] = "vital",
    num_docs: Annotated[
        int | None, typer.Option(help="How many documents, from the first on; all unless given.")
    ] = None,
    num_clusters: Annotated[
        int | None, typer.Option(help="Groups of documents that share entries; every document its own unless given.")
    ] = None,
    group_by: Annotated[str, typer.Option(help="article, paragraph, paragraphs:N or topic.")] = "article",
    match_subjects: Annotated[
        str | None, typer.Option(help="Keep articles whose title is a subject of this CounterFact file, or of builtin.")
    ] = None,
    allocation: Annotated[str, typer.Option(help="none, random, partitioned, simset1 to simset3.")] = "simset2",
    partition_by: Annotated[str, typer.Option(help="size or length, for partitioned.")] = "size",
    entries: Annotated[int, typer.Option(help="Entries of the memory, M.")] = 1024,
    entries_per_doc: Annotated[int, typer.Option(help="Entries of a document, k.")] = 32,
    mem_seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Allocate entries to documents and write the allocation alone, without a model."""
    from simset_bench.simset.allocation import allocate
    from simset_bench.simset.store import write_allocation
    from simset_bench.training.config import make_config
    from simset_bench.training.run import corpus_options, hash_documents, load_documents

    if output.exists() and not overwrite:
        raise RequestError(f"--output {output}: is already there (--overwrite replaces it)")
    config = make_config(None, corpus=corpus, group_by=group_by, match_subjects=match_subjects, mem_seed=mem_seed)
    options = corpus_options(config) | {"num_docs": num_docs}
    documents = load_documents(options)
    made = allocate(documents, allocation, entries, entries_per_doc, mem_seed, num_clusters, partition_by)
    write_allocation(made, output, options | {"sha256": hash_documents(documents)})
    clusters = int(made.clusters.max()) + 1
    if json_output:
        summary = {"output": str(output), "documents": len(documents), "clusters": clusters, "allocation": allocation}
        print_json(summary | {"entries": entries, "merge_similarity": made.merge_similarity})
        return
    merged = f", merged down to similarity {made.merge_similarity:.3f}" if made.merge_similarity is not None else ""
    print(f"{output}: {allocation}, {len(documents)} documents in {clusters} clusters{merged}, {entries} entries")
