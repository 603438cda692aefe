"""`simset-bench train`."""

from pathlib import Path
from typing import Annotated

import typer

from simset_bench.api.training import train
from simset_bench.cli.allocate import CLUSTER_BY_HELP, MIN_SIMILARITY_HELP, PARTITION_HELP
from simset_bench.cli.options import Debug, Json, LogTo, Quiet, print_json
from simset_bench.console import say
from simset_bench.imports import quick_imports
from simset_bench.simset.strategies import STRATEGIES
from simset_bench.training.method_options import INDUCTIVE_FORMS, METHODS
from simset_bench.training.processes import launched

_SHOWN = ("cross_entropy", "negative_cross_entropy", "on_share", "quiet_loss")


def _defaults(option: str, usual: str) -> str:
    """An option's default, and those of the methods that have another one: `0.002; lora 0.001, full 0.0001`."""
    others = [f"{name} {method.defaults[option]}" for name, method in METHODS.items() if option in method.defaults]
    return "; ".join([usual, *([", ".join(others)] if others else [])])


def _users(option: str) -> str:
    """The methods that use an option."""
    return ", ".join(name for name, method in METHODS.items() if option in method.options)


def command(
    method: Annotated[
        str | None,
        typer.Option(help=f"{'; '.join(f'{name}: {method.what}' for name, method in METHODS.items())} [memory]."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Preset, folder, .gguf file or hub id [smollm2-135m].")] = None,
    corpus: Annotated[
        str | None, typer.Option(help="vital, people:count=100, squad:FILE, jsonl:FILE ... [vital].")
    ] = None,
    num_docs: Annotated[int | None, typer.Option(help="Number of documents, from the first on [16].")] = None,
    num_clusters: Annotated[
        int | None, typer.Option(help="Groups of documents that share entries [one for each document].")
    ] = None,
    cluster_by: Annotated[str | None, typer.Option(help=CLUSTER_BY_HELP)] = None,
    min_similarity: Annotated[float | None, typer.Option(help=MIN_SIMILARITY_HELP)] = None,
    group_by: Annotated[str | None, typer.Option(help="article, paragraph, paragraphs:N, topic [article].")] = None,
    match_subjects: Annotated[
        str | None, typer.Option(help="Keep articles whose title is a subject of this CounterFact file, or of builtin.")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(help="Most tokens of a segment; longer documents are cut [128].")
    ] = None,
    layer: Annotated[str | None, typer.Option(help="Block number, or a fraction of the depth [0.75].")] = None,
    allocation: Annotated[
        str | None,
        typer.Option(help=f"{', '.join(STRATEGIES)}, or a FILE.parquet of allocate [simset2]."),
    ] = None,
    shuffle_buffer: Annotated[
        int | None, typer.Option(help="With a FILE.parquet: segments shuffled at a time [8192].")
    ] = None,
    partition_by: Annotated[str | None, typer.Option(help=PARTITION_HELP)] = None,
    alpha: Annotated[
        float | None,
        typer.Option(
            help=f"Weight of the method's further loss [{_defaults('alpha', '1.0, 0 under --location hard')}]."
        ),
    ] = None,
    inductive_form: Annotated[str | None, typer.Option(help=f"{' or '.join(INDUCTIVE_FORMS)} [log].")] = None,
    location: Annotated[
        str | None, typer.Option(help="soft, or hard: training turns other entries off [soft].")
    ] = None,
    beta: Annotated[
        float | None, typer.Option(help="Weight of the quiet loss: how much the memory adds to background texts [0].")
    ] = None,
    background: Annotated[
        str | None,
        typer.Option(help="With --beta or --method sparse: corpus that the memory is to leave as it is [vital]."),
    ] = None,
    background_docs: Annotated[
        int | None, typer.Option(help="With --beta or --method sparse: documents of it, none of them memorised [256].")
    ] = None,
    entries: Annotated[
        int | None, typer.Option(help=f"Entries of the memory, M [{_defaults('entries', '1024')}].")
    ] = None,
    entries_per_doc: Annotated[
        int | None, typer.Option(help=f"Entries of a document, k [{_defaults('entries_per_doc', '32')}].")
    ] = None,
    mem_seed: Annotated[int | None, typer.Option(help="Seeds the allocation and the memory's start [0].")] = None,
    seed: Annotated[int | None, typer.Option(help="Seeds the order of the batches [0].")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the documents [40].")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Segments a step [8].")] = None,
    lr: Annotated[
        float | None,
        typer.Option(help=f"Highest learning rate of AdamW, under sparse of SGD [{_defaults('lr', '0.002')}]."),
    ] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Of the matrices that learn [0].")] = None,
    warmup: Annotated[float | None, typer.Option(help="Share of the steps with rising rate [0].")] = None,
    grad_clip: Annotated[
        float | None,
        typer.Option(help=f"Largest gradient norm; 0 turns clipping off [{_defaults('grad_clip', '1.0')}]."),
    ] = None,
    activation: Annotated[str | None, typer.Option(help="relu or gelu [relu].")] = None,
    layer_norm: Annotated[bool | None, typer.Option("--layer-norm/--no-layer-norm", help="Before W_up [no].")] = None,
    gate: Annotated[
        bool | None, typer.Option("--gate/--no-gate", help="A learned scalar on what is added [no].")
    ] = None,
    lora_rank: Annotated[
        int | None,
        typer.Option(help=f"Of {_users('lora_rank')} [the one nearest a memory of --entries in parameters]."),
    ] = None,
    guidance_tau: Annotated[
        float | None, typer.Option(help=f"Of {_users('guidance_tau')}: NLL in nats under a negative key [4.5].")
    ] = None,
    guidance_negative: Annotated[
        str | None,
        typer.Option(help=f"Of {_users('guidance_negative')}: key of an other document, random or zero [other]."),
    ] = None,
    guidance_loss: Annotated[
        str | None,
        typer.Option(
            help=f"Of {_users('guidance_loss')}: absolute (the paper's) or clamped-square (its code's) [absolute]."
        ),
    ] = None,
    guidance_key_width: Annotated[
        int | None, typer.Option(help=f"Of {_users('guidance_key_width')}: numbers in a document's key [16].")
    ] = None,
    shared_entries: Annotated[
        float | None,
        typer.Option(help=f"Of {_users('shared_entries')}: share of the entries that every document has [0.5]."),
    ] = None,
    product_heads: Annotated[
        int | None, typer.Option(help=f"Of {_users('product_heads')}: queries of a token [4].")
    ] = None,
    product_reads: Annotated[
        int | None, typer.Option(help=f"Of {_users('product_reads')}: slots that a query reads [8].")
    ] = None,
    cartridge_tokens: Annotated[
        int | None, typer.Option(help=f"Of {_users('cartridge_tokens')}: places of a document's prefix [16].")
    ] = None,
    grace_radius: Annotated[
        float | None,
        typer.Option(
            help=f"Of {_users('grace_radius')}: a new key's radius; 1 is the distance of states to their mean [0.5]."
        ),
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(help=f"Of the base: auto, float32, bfloat16, float16 [{_defaults('dtype', 'auto')}].")
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps [auto].")] = None,
    continue_from: Annotated[
        str | None,
        typer.Option("--continue", help="A run's folder, whose training goes on with the new documents of --corpus."),
    ] = None,
    replay: Annotated[
        float | None, typer.Option(help="With --continue: share of each epoch that are documents of before [0].")
    ] = None,
    protect: Annotated[
        bool | None,
        typer.Option(
            "--protect/--no-protect",
            help="With --continue: entries of documents of before alone stay as they are [no].",
        ),
    ] = None,
    save_dir: Annotated[Path, typer.Option(help="Folder under which run folders lie.")] = Path("outputs"),
    config: Annotated[Path | None, typer.Option(help="YAML with any of these options; flags win over it.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an unfinished run.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what the run folder holds.")] = False,
    log_to: LogTo = None,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train a memory on documents, or another method, and write a run folder.

    Defaults stand in brackets; with --continue they are the options of that run.
    """
    options = dict(locals())
    for name in ("json_output", "quiet", "debug"):
        del options[name]
    folder = train(**options).folder
    if not launched().is_first:
        return
    with quick_imports():
        from simset_bench.training.run import summary

    manifest = summary(folder)
    if json_output:
        print_json(manifest)
        return
    measured = [
        f"{name.replace('_', '-')} {manifest['final'][name]:.3f}" for name in _SHOWN if name in manifest["final"]
    ]
    done = f"{manifest['steps']} steps in {manifest['wall_seconds']:.0f} s" if manifest["steps"] else "nothing to train"
    new = f", {len(manifest['new_documents'])} of them new" if "new_documents" in manifest else ""
    say(str(folder), f"  {', '.join([*measured, str(manifest['documents']) + ' documents' + new, done])}")
