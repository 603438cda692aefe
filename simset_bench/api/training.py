"""Training and forgetting from a notebook."""

import os
from collections.abc import Sequence
from pathlib import Path

from simset_bench.api.checked import PathLike, checked, texts
from simset_bench.api.runs import Run
from simset_bench.errors import said_when_interrupted
from simset_bench.files import check_writable_folder
from simset_bench.imports import quick_imports

_NOT_OF_THE_RUN = ("continue_from", "save_dir", "config", "resume", "overwrite", "log_to", "quiet")


@checked
def train(
    *,
    method: str | None = None,
    model: PathLike | None = None,
    corpus: str | None = None,
    num_docs: int | None = None,
    num_clusters: int | None = None,
    cluster_by: str | None = None,
    min_similarity: float | None = None,
    group_by: str | None = None,
    match_subjects: PathLike | None = None,
    max_tokens: int | None = None,
    layer: int | float | str | None = None,
    allocation: PathLike | None = None,
    shuffle_buffer: int | None = None,
    partition_by: str | None = None,
    alpha: float | None = None,
    inductive_form: str | None = None,
    location: str | None = None,
    beta: float | None = None,
    background: str | None = None,
    background_docs: int | None = None,
    entries: int | None = None,
    entries_per_doc: int | None = None,
    mem_seed: int | None = None,
    seed: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    weight_decay: float | None = None,
    warmup: float | None = None,
    grad_clip: float | None = None,
    activation: str | None = None,
    layer_norm: bool | None = None,
    gate: bool | None = None,
    lora_rank: int | None = None,
    guidance_tau: float | None = None,
    guidance_negative: str | None = None,
    guidance_loss: str | None = None,
    guidance_key_width: int | None = None,
    shared_entries: float | None = None,
    product_heads: int | None = None,
    product_reads: int | None = None,
    cartridge_tokens: int | None = None,
    grace_radius: float | None = None,
    dtype: str | None = None,
    device: str | None = None,
    continue_from: PathLike | None = None,
    replay: float | None = None,
    protect: bool | None = None,
    save_dir: PathLike = "outputs",
    config: PathLike | None = None,
    resume: bool = False,
    overwrite: bool = False,
    log_to: str | None = None,
    quiet: bool = False,
) -> Run:
    """Train a memory on documents, or another method, and write a run folder.

    None stands for the default, which is in brackets. A run of the same settings that is there already is kept, not
    trained again. Ctrl-C keeps the last checkpoint, from which `resume=True` goes on.

    Args:
        method: `memory`, `lora`, `full`, `in-context` or another method of `simset-bench train --help` [memory].
        model: Preset, folder, .gguf file or hub id of the frozen base [smollm2-135m].
        corpus: `vital`, `people:count=100`, `squad:FILE`, `jsonl:FILE` ... [vital].
        num_docs: Number of documents, from the first on [16].
        num_clusters: Groups of documents that share entries [one for each document].
        cluster_by: `linkage` (merge the most similar pairs) or `topic` [linkage; topic for many documents].
        min_similarity: In place of num_clusters: merge all pairs of at least this similarity, in (0, 1].
        group_by: What a document is: `article`, `paragraph`, `paragraphs:N` or `topic` [article].
        match_subjects: Keep articles whose title is a subject of this CounterFact file, or of `builtin`.
        max_tokens: Most tokens of a segment; longer documents are cut [128].
        layer: Block number, or a fraction of the depth below 1 [0.75].
        allocation: `none`, `random`, `partitioned`, `simset1` to `simset3`, `shuffled1` to `shuffled3`, or the file
            that `allocate` wrote [simset2].
        shuffle_buffer: With an allocation's file: segments shuffled at a time [8192].
        partition_by: For `partitioned`: `size`, `length` or `whole` [size].
        alpha: Weight of the method's further loss, 0 or more [1.0; 0 where location is hard; other methods' own].
        inductive_form: `log` or `ratio` [log].
        location: `soft`, or `hard`: training turns other entries off [soft].
        beta: Weight of the quiet loss: how much the memory adds to background texts, 0 or more [0].
        background: With beta or method `sparse`: corpus that the memory is to leave as it is [vital].
        background_docs: With beta or method `sparse`: documents of it, none of them memorised [256].
        entries: Entries of the memory, M [1024].
        entries_per_doc: Entries of a document, k [32].
        mem_seed: Seeds the allocation and the memory's start [0].
        seed: Seeds the order of the batches [0].
        epochs: Passes over the documents [40].
        batch_size: Segments a step [8].
        lr: Highest learning rate of AdamW, under `sparse` of SGD [0.002; other methods' own].
        weight_decay: Of the matrices that learn [0].
        warmup: Share of the steps with rising rate, in [0, 1) [0].
        grad_clip: Largest gradient norm; 0 turns clipping off [1.0].
        activation: `relu` or `gelu` [relu].
        layer_norm: Before W_up [False].
        gate: A learned scalar on what is added [False].
        lora_rank: Of `lora` [the one nearest a memory of `entries` in parameters].
        guidance_tau: Of `guidance`: NLL in nats under a negative key [4.5].
        guidance_negative: Of `guidance`: key of an `other` document, `random` or `zero` [other].
        guidance_loss: Of `guidance`: `absolute` or `clamped-square` [absolute].
        guidance_key_width: Of `guidance`: numbers in a document's key [16].
        shared_entries: Of `sequence-id`: share of the entries that every document has, in [0, 1) [0.5].
        product_heads: Of `product-keys` and `sparse`: queries of a token [4].
        product_reads: Of `product-keys` and `sparse`: slots that a query reads [8].
        cartridge_tokens: Of `cartridge`: places of a document's prefix [16].
        grace_radius: Of `grace`: a new key's radius; 1 is the distance of states to their mean [0.5].
        dtype: Of the base: `auto`, `float32`, `bfloat16` or `float16` [auto].
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps` [auto].
        continue_from: A run whose training goes on with the new documents of `corpus` (`--continue` of the command,
            a name that Python reserves); its settings are then the defaults.
        replay: With continue_from: share of each epoch that are documents of before, in [0, 1) [0].
        protect: With continue_from: entries of documents of before alone stay as they are [False].
        save_dir: Folder under which run folders lie.
        config: YAML file with any of these settings; arguments win over it.
        resume: Go on with an unfinished run.
        overwrite: Replace what the run folder holds.
        log_to: `tensorboard`, `wandb` or `trackio`: send each finished epoch there too.
        quiet: No notes and no progress.

    Returns:
        The finished run.

    Raises:
        RequestError: A setting is unknown, of a wrong type or out of range, a file is missing, or the folder holds
            another run, or an unfinished one without `resume`.

    Examples:
        >>> run = train(corpus="people:count=32", allocation="simset2", alpha=1.0)
        >>> run.curves["cross_entropy"].iloc[-1]
    """
    options = {name: _plain(value) for name, value in locals().items() if name not in _NOT_OF_THE_RUN}
    options["layer"] = None if layer is None else str(layer)
    from simset_bench.training.continued import make_training
    from simset_bench.training.logs import check_log

    check_log(log_to)
    before = None if continue_from is None else os.fspath(continue_from)
    chosen = make_training(None if config is None else Path(config), continued_from=before, **options)
    from simset_bench.training.prechecks import check_config

    check_config(chosen, Path(save_dir))
    with quick_imports():
        from simset_bench.training.run import train_run

    return Run(train_run(chosen, Path(save_dir), resume=resume, overwrite=overwrite, log_to=log_to))


def _plain(value: object) -> object:
    """A path as a text, as configurations keep it."""
    return os.fspath(value) if isinstance(value, os.PathLike) else value


@checked
def forget(
    run: PathLike,
    *,
    doc: str | Sequence[str],
    steps: int = 100,
    save_dir: PathLike = "outputs",
    overwrite: bool = False,
    quiet: bool = False,
) -> Run:
    """Make a run whose memory is without some documents, and measure what is gone and what it cost.

    The documents' entries are emptied, and those that others share are refitted on these. `run` stays as it is.

    Args:
        run: A finished run with a memory.
        doc: Id of the document to forget, or a list of ids; `MemoryModel.documents` has all.
        steps: Steps in which entries that other documents share are refitted on these, 0 or more.
        save_dir: Folder under which run folders lie.
        overwrite: Make a run that is there already anew.
        quiet: No notes and no progress.

    Returns:
        The new run; its `forgotten` has what was done and measured.

    Raises:
        RequestError: The run has no entries of its documents, an id is unknown, or nothing would be left.

    Examples:
        >>> without = forget(run, doc="person-0-3")
        >>> without.forgotten["measures"]["forgotten"]
    """
    check_writable_folder(Path(save_dir), ", use another --save-dir")
    with quick_imports():
        from simset_bench.evaluation.forgetting import forget as forget_documents
        from simset_bench.training.run_folder import open_finished

    open_finished(Path(run))
    with said_when_interrupted(lambda: "the same command begins anew"):
        return Run(forget_documents(Path(run), texts(doc), Path(save_dir), steps, overwrite=overwrite))
