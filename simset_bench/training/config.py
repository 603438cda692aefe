"""What one training run is: every option that changes its result, read from a file and the command line."""

import dataclasses
import math
import types
import typing
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from simset_bench.corpora.load import CorpusOptions
from simset_bench.errors import RequestError, check_count, did_you_mean, unknown_name
from simset_bench.models.presets import DEFAULT_MODEL
from simset_bench.simset.allocation import check_allocation
from simset_bench.simset.clusters import Clustering
from simset_bench.simset.strategies import STRATEGIES, DrawOptions, strategy_of_allocation
from simset_bench.strict_json import brief, read_object
from simset_bench.training.earlier_options import in_todays_words
from simset_bench.training.method_options import INDUCTIVE_FORMS, MEMORY, METHODS, find_method, with_method_defaults
from simset_bench.training.strict_yaml import read_mapping

LOCATIONS = ("soft", "hard")
ACTIVATIONS = ("relu", "gelu")
NEGATIVES = ("other", "random", "zero")
GUIDANCE_LOSSES = ("absolute", "clamped-square")


@dataclass(frozen=True)
class TrainConfig:
    """Options of one run; `docs/decisions/0002-defaults.md` has the trials behind the defaults.

    `layer` is a block number or a fraction of the depth; `num_docs` None takes the whole corpus, `num_clusters` None
    gives every document a memory of its own, unless `min_similarity` leads to fewer; with both, `num_clusters` is what
    it led to. `cluster_by` None is single linkage, and topic where documents are many (`Clustering`). `warmup` is a
    share of all steps in [0, 1); `grad_clip` 0 is off.
    With an `allocation_file` its documents are streamed, shuffled `shuffle_buffer` segments at a time.
    Options that the `method` does not use stay at the defaults here (see `method_options.py`). `lora_rank` None takes
    the rank whose parameters are nearest to the memory's. `alpha` weighs the guidance loss too, whose `guidance_tau` is
    in nats. All documents share the first `shared_entries` of the entries, a share in [0, 1). `beta` weighs the quiet
    loss, which is measured on `background_docs` documents of the corpus `background` that are not memorised. Under
    `product-keys` and `sparse` a token has `product_heads` queries, each of which reads `product_reads` slots.
    `grace_radius` is a new key's, in units of the distance of hidden states to their mean. A document's prefix has
    `cartridge_tokens` places.

    `continued_from` is the folder of the run whose training goes on with the new documents of `corpus`, None for one
    that begins; `replay`, a share in [0, 1), of an epoch's segments is then of its documents, and `protect` keeps the
    entries as they are that belong to none but these.
    """

    model: str = DEFAULT_MODEL
    corpus: str = "vital"
    num_docs: int | None = 16
    num_clusters: int | None = None
    cluster_by: str | None = None
    min_similarity: float | None = None
    group_by: str = "article"
    match_subjects: str | None = None
    max_tokens: int = 128
    method: str = MEMORY
    layer: str | int | float = 0.75
    allocation: str = "simset2"
    allocation_file: str | None = None
    shuffle_buffer: int = 8192
    partition_by: str = "size"
    alpha: float = 1.0
    inductive_form: str = "log"
    location: str = "soft"
    beta: float = 0.0
    background: str = "vital"
    background_docs: int = 256
    entries: int = 1024
    entries_per_doc: int = 32
    mem_seed: int = 0
    seed: int = 0
    epochs: int = 40
    batch_size: int = 8
    lr: float = 2e-3
    weight_decay: float = 0.0
    warmup: float = 0.0
    grad_clip: float = 1.0
    activation: str = "relu"
    layer_norm: bool = False
    gate: bool = False
    lora_rank: int | None = None
    guidance_tau: float = 4.5
    guidance_negative: str = "other"
    guidance_loss: str = "absolute"
    guidance_key_width: int = 16
    shared_entries: float = 0.5
    product_heads: int = 4
    product_reads: int = 8
    grace_radius: float = 0.5
    cartridge_tokens: int = 16
    dtype: str = "auto"
    device: str = "auto"
    continued_from: str | None = None
    replay: float = 0.0
    protect: bool = False


_TYPES = typing.get_type_hints(TrainConfig)


def read_config(path: Path) -> dict[str, Any]:
    """Options in a YAML file, checked by name and type; those of a finished run's folder in the words of today.

    Raises RequestError naming the file and the field.
    """
    content = read_mapping(path, "of options to values")
    options = {name: checked_option(path, str(name), value) for name, value in content.items()}
    manifest = path.with_name("manifest.json")
    return in_todays_words(options, _json_object(manifest)) if manifest.is_file() else options


def _json_object(path: Path) -> dict[str, Any]:
    """What a JSON file holds, or {} where it is damaged: whoever needs all of it checks it."""
    try:
        return read_object(path)
    except (OSError, ValueError):
        return {}


def checked_option(path: Path, name: str, value: Any) -> Any:
    """The value of an option that `path` gives, in its type. Raises RequestError for an unknown name or wrong type."""
    if name not in _TYPES:
        raise RequestError(f"{path}: unknown option {brief(name)}{did_you_mean(name[:80], _TYPES)}")
    allowed = typing.get_args(_TYPES[name]) if isinstance(_TYPES[name], types.UnionType) else (_TYPES[name],)
    # YAML 1.1 reads 2e-3 as a string, since it has no point.
    if type(value) in (int, str) and float in allowed and type(value) not in allowed:
        with suppress(ValueError, OverflowError):
            return float(value)
    if type(value) not in allowed:
        names = " or ".join(_type_name(kind) for kind in allowed)
        raise RequestError(f"{path}: {name} must be {names}, found {brief(value)}")
    return value


def _type_name(kind: type) -> str:
    return "null" if kind is types.NoneType else kind.__name__


def make_config(file: Path | None, **flags: Any) -> TrainConfig:
    """The configuration of a file (if any) with the flags that are not None laid over it, then checked."""
    given = {name: value for name, value in flags.items() if value is not None}
    chosen = (read_config(file) if file else {}) | given
    Clustering(given.get("num_clusters"), chosen.get("min_similarity"), chosen.get("cluster_by")).check_asked()
    if "min_similarity" in given:
        # That of the file is what another similarity led to.
        chosen.pop("num_clusters", None)
    if str(chosen.get("allocation", "")).endswith(".parquet"):
        chosen["allocation_file"] = chosen.pop("allocation")
    if chosen.get("allocation_file"):
        chosen = of_allocation_file(Path(chosen["allocation_file"])) | chosen
        _check_fits(Path(chosen["allocation_file"]), chosen)
    config = TrainConfig(**with_method_defaults(chosen))
    check(config)
    return config


def of_allocation_file(path: Path) -> dict[str, Any]:
    """Options that an allocation file settles, by its manifest. Raises RequestError where it is missing or damaged."""
    from simset_bench.simset.store import read_allocation_manifest

    made = read_allocation_manifest(path)
    settled = {
        "allocation": made.strategy,
        "entries": made.num_entries,
        "entries_per_doc": made.entries_per_doc,
        "mem_seed": made.seed,
        **({"partition_by": made.partition_by} if made.partition_by else {}),
        **dataclasses.asdict(CorpusOptions.of(made.corpus)),
    }
    return {name: checked_option(path, name, value) for name, value in settled.items()}


def _check_fits(path: Path, chosen: dict[str, Any]) -> None:
    made = of_allocation_file(path)
    for name in ("allocation", "entries", "entries_per_doc"):
        if chosen[name] != made[name]:
            raise RequestError(f"{flag(name)} {chosen[name]}: {path} was made with {made[name]}")
    for name in ("num_clusters", "cluster_by", "min_similarity"):
        if chosen.get(name) is not None:
            raise RequestError(f"{flag(name)} {chosen[name]}: {path} settles the clusters (allocate merges)")


# Options that a configuration names only where they differ from what they are without them.
_WHERE_IN_FORCE = {"cluster_by": None, "min_similarity": None, "continued_from": None, "replay": 0.0, "protect": False}
_IN_FORCE = object()
# Options of a training that goes on with new documents.
OF_CONTINUING = ("continued_from", "replay", "protect")
# The least value of each option that counts something.
LEAST = {"num_docs": 1, "num_clusters": 1, "max_tokens": 2, "entries": 1, "entries_per_doc": 1}
LEAST |= {"shuffle_buffer": 1, "epochs": 1, "batch_size": 1, "mem_seed": 0, "seed": 0}
LEAST |= {"lora_rank": 1, "guidance_key_width": 1, "background_docs": 1, "product_heads": 1, "product_reads": 1}
LEAST |= {"cartridge_tokens": 2}


def check(config: TrainConfig) -> None:
    """Raise RequestError for the first option out of its range; it names the option, its value and what is allowed.

    Options that the method does not use are refused too.
    """
    check_options(config)
    for name, lowest in LEAST.items():
        value = getattr(config, name)
        if value is not None:
            check_count(flag(name), value, lowest)
    for name in ("alpha", "beta", "weight_decay", "grad_clip", "lr", "guidance_tau", "grace_radius"):
        value = getattr(config, name)
        if not math.isfinite(value) or value < 0:
            raise RequestError(f"{flag(name)} {value}: must be a finite number, 0 or more")
    if config.lr == 0:
        raise RequestError("--lr 0: must be above 0, or nothing would be learned")
    if not 0 <= config.warmup < 1:
        raise RequestError(f"--warmup {config.warmup}: must be a share of the steps, from 0 to below 1")
    for name in ("shared_entries", "replay"):
        if not 0 <= (value := getattr(config, name)) < 1:
            raise RequestError(f"{flag(name)} {value}: must be a share, from 0 to below 1")
    _check_continuing(config)
    closed = {"guidance_negative": NEGATIVES, "guidance_loss": GUIDANCE_LOSSES}
    closed |= {"inductive_form": INDUCTIVE_FORMS, "location": LOCATIONS, "activation": ACTIVATIONS}
    for name, choices in closed.items():
        value = getattr(config, name)
        if value not in choices:
            raise unknown_name(flag(name), value, choices)
    if uses(config, "product_reads"):
        _check_slots(config)
    if not uses(config, "allocation"):
        return
    clustering_of(config).check()
    if config.allocation_file is None:
        units = clustering_of(config).units(config.num_docs)
        check_allocation(config.allocation, draw_options(config), units)
    elif config.allocation not in {*STRATEGIES, *METHODS}:
        # It names the run's folder, and comes from a file that anybody may have written.
        raise unknown_name(f"strategy of {config.allocation_file}", config.allocation, {*STRATEGIES, *METHODS})


def _check_slots(config: TrainConfig) -> None:
    root = math.isqrt(config.entries)
    if root**2 != config.entries:
        raise RequestError(
            f"--entries {config.entries}: --method {config.method} has a square number of slots, such as "
            f"{max(1, root**2)} or {(root + 1) ** 2}"
        )
    if config.product_reads > root:
        raise RequestError(
            f"--product-reads {config.product_reads}: a query reads at most {root} slots of --entries {config.entries}"
        )
    if config.entries_per_doc > config.entries:
        raise RequestError(f"--entries-per-doc {config.entries_per_doc}: above --entries {config.entries}")


def _check_continuing(config: TrainConfig) -> None:
    if config.continued_from is None:
        if config.replay or config.protect:
            name = "replay" if config.replay else "protect"
            raise RequestError(f"{flag(name)} goes with --continue RUN, whose documents it is about")
        return
    if config.allocation_file is not None:
        raise RequestError(f"--allocation {config.allocation_file}: a run that is continued draws entries itself")
    if config.protect and config.weight_decay:
        raise RequestError(f"--weight-decay {config.weight_decay} would shrink the entries that --protect protects")
    if config.protect and strategy_of_allocation(config.allocation).gives_all:
        raise RequestError(f"--protect: under --allocation {config.allocation} every document has all entries")


def draw_options(config: TrainConfig) -> DrawOptions:
    """The numbers that entries are drawn by."""
    return DrawOptions(config.entries, config.entries_per_doc, config.mem_seed, config.partition_by)


def clustering_of(config: TrainConfig) -> Clustering:
    """How documents are merged."""
    return Clustering(config.num_clusters, config.min_similarity, config.cluster_by)


def with_clusters(config: TrainConfig, num_docs: int, clusters: int) -> TrainConfig:
    """The configuration with the clusters, what they are made by and a document's entries as they are in force."""
    return dataclasses.replace(
        config,
        num_clusters=clusters,
        cluster_by=clustering_of(config).chosen_method(num_docs),
        entries_per_doc=entries_in_force(config, clusters),
    )


def options_of(config: TrainConfig) -> dict[str, Any]:
    """All options by their names, without those of clusters and of continuing that are not in force.

    Files and folders of runs from before there were such options are those of today.
    """
    options = dataclasses.asdict(config)
    return {name: value for name, value in options.items() if value != _WHERE_IN_FORCE.get(name, _IN_FORCE)}


def entries_in_force(config: TrainConfig, clusters: int) -> int:
    """Entries of each document: those chosen, or those that partitions of another kind than `size` come to."""
    if config.allocation_file is not None or config.entries < clusters:
        return config.entries_per_doc
    return strategy_of_allocation(config.allocation).entries_in_force(draw_options(config), clusters)


def presses(config: TrainConfig) -> bool:
    """Whether the inductive loss enters the training.

    Under the allocation `none` every document has all entries. The share of activation on them is 1 whatever the memory
    learns (0 for a token that activates none), so the loss has no gradient.
    """
    return config.alpha != 0 and not strategy_of_allocation(config.allocation).gives_all


def has_background(config: TrainConfig) -> bool:
    """Whether background texts enter the training: by the quiet loss, or because the method compares with them."""
    return config.beta > 0 or find_method(config.method).reads_background


def flag(name: str) -> str:
    """An option's flag on the command line, as in `--num-docs`."""
    return "--continue" if name == "continued_from" else "--" + name.replace("_", "-")


def config_text(config: TrainConfig, names: Sequence[str] | None = None) -> str:
    """The configuration as YAML, fields in their order: those in `names`, or else those that its method uses."""
    chosen = own_options(config) if names is None else names
    kept = {name: value for name, value in options_of(config).items() if name in chosen}
    return yaml.safe_dump(kept, sort_keys=False, allow_unicode=True)


def corpus_options(config: TrainConfig) -> CorpusOptions:
    """The options that say which documents there are."""
    return CorpusOptions.of(dataclasses.asdict(config))


def differences(there: TrainConfig, asked: TrainConfig) -> str:
    """Fields in which two configurations differ, for messages: `alpha 0.2 there, 1.0 asked; ...`."""
    pairs = [(f.name, getattr(there, f.name), getattr(asked, f.name)) for f in dataclasses.fields(there)]
    return "; ".join(f"{name} {old} there, {new} asked" for name, old, new in pairs if old != new)


def own_options(config: "TrainConfig") -> list[str]:
    """The options that a configuration's method uses, in their order."""
    options = find_method(config.method).options
    return [each.name for each in dataclasses.fields(config) if each.name in options]


def uses(config: "TrainConfig", option: str) -> bool:
    """Whether a configuration's method uses an option."""
    return option in find_method(config.method).options


def check_options(config: "TrainConfig") -> None:
    """Raise RequestError for an option that is not at its default though the method does not use it."""
    options = find_method(config.method).options
    for each in dataclasses.fields(config):
        value = getattr(config, each.name)
        if each.name not in options and value != each.default:
            raise RequestError(
                f"{flag(each.name)} {value}: --method {config.method} does not use it; "
                f"{_listed(name for name, method in METHODS.items() if each.name in method.options)}"
            )


def _listed(names: Iterable[str]) -> str:
    users = list(names)
    return f"{', '.join(users)} {'does' if len(users) == 1 else 'do'}"
