"""The methods and the options that each uses. An option of another method is refused, not ignored.

This module imports no model library, so that `--help` stays fast; `methods/table.py` has the methods' functions.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from simset_bench.errors import unknown_name

MEMORY = "memory"
INDUCTIVE_FORMS = ("log", "ratio")


@dataclass(frozen=True)
class Method:
    """A training method. `what` describes it in help texts.

    It uses the `options` of a configuration and no others; `defaults` are its own where they differ from the memory's.
    `learned` maps names of hashes to the files of a run folder that hold what was learned. `has_entries` says whether
    documents have entries of a memory: recall modes and location measures need them. `reads_background` says that it
    compares documents with background texts even without a quiet loss, `has_prefixes` that it learns a prefix for each
    document and so answers only where the document is known.
    """

    what: str
    options: frozenset[str]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    learned: Mapping[str, str] = field(default_factory=dict)
    has_entries: bool = False
    reads_background: bool = False
    has_prefixes: bool = False


_DOCUMENTS = frozenset(
    ["method", "model", "corpus", "num_docs", "group_by", "match_subjects", "max_tokens", "dtype", "device"]
)
_STEPS = frozenset(["seed", "mem_seed", "epochs", "batch_size", "lr", "weight_decay", "warmup", "grad_clip"])
_ON_A_BLOCK = frozenset(["layer", "entries", "entries_per_doc", "activation", "layer_norm", "gate"])
_CLUSTERS = frozenset(["num_clusters", "cluster_by", "min_similarity"])
_ALLOCATED = _CLUSTERS | {"allocation", "allocation_file", "shuffle_buffer", "partition_by"}
_LOSS = frozenset(["alpha", "inductive_form", "location"])
_QUIET = frozenset(["beta", "background", "background_docs"])
_CONTINUED = frozenset(["continued_from", "replay"])
_GUIDANCE = frozenset(["alpha", "guidance_tau", "guidance_negative", "guidance_loss", "guidance_key_width"])
_SLOTS = frozenset(["layer", "entries", "entries_per_doc", "product_heads", "product_reads"])
_IN_MEMORY = {"allocation": "allocation.parquet", "memory": "memory.safetensors"}

METHODS: dict[str, Method] = {
    MEMORY: Method(
        "a memory on one block, with entries allocated to documents",
        _DOCUMENTS | _STEPS | _ON_A_BLOCK | _ALLOCATED | _LOSS | _QUIET | _CONTINUED | {"protect"},
        learned=_IN_MEMORY,
        has_entries=True,
    ),
    "none": Method("the untouched base", _DOCUMENTS),
    "lora": Method(
        "a LoRA (arXiv 2106.09685) with as many parameters as the memory",
        _DOCUMENTS | _STEPS | _CONTINUED | {"entries", "lora_rank"},
        defaults={"lr": 1e-3},
        learned={"adapter": "adapter/adapter_model.safetensors", "adapter_config": "adapter/adapter_config.json"},
    ),
    "full": Method(
        "every parameter of a small base",
        _DOCUMENTS | _STEPS - {"mem_seed"} | _CONTINUED,
        # In bfloat16 most steps of full fine-tuning would round to nothing.
        defaults={"lr": 1e-4, "dtype": "float32"},
        learned={"weights": "weights/model.safetensors"},
    ),
    "in-context": Method("the document itself in the prompt", _DOCUMENTS),
    "retrieval": Method("the document that BM25 finds for the prompt, in the prompt", _DOCUMENTS),
    "guidance": Method(
        "a memory under document keys with guidance loss (arXiv 2406.15996)",
        _DOCUMENTS | _STEPS | _ON_A_BLOCK | _GUIDANCE,
        defaults={"alpha": 0.1},
        learned=_IN_MEMORY,
        has_entries=True,
    ),
    "sequence-id": Method(
        "a memory masked by the document's identity (arXiv 2507.09937)",
        _DOCUMENTS | _STEPS | _ON_A_BLOCK | _QUIET | {"shared_entries"},
        learned=_IN_MEMORY,
        has_entries=True,
    ),
    "product-keys": Method(
        "a memory layer with product-key lookup (arXiv 1907.05242)",
        _DOCUMENTS | _STEPS | _SLOTS,
        defaults={"lr": 2e-2},
        learned=_IN_MEMORY,
        has_entries=True,
    ),
    "sparse": Method(
        "a memory layer of which the slots most specific of documents learn (arXiv 2510.15103)",
        _DOCUMENTS | _STEPS - {"weight_decay"} | _SLOTS | {"background", "background_docs"},
        # A value's gradient is a mean over all tokens of a batch, of which few read it.
        defaults={"lr": 3e3, "grad_clip": 0.0, "entries": 16384, "entries_per_doc": 512},
        learned=_IN_MEMORY,
        has_entries=True,
        reads_background=True,
    ),
    "grace": Method(
        "a codebook of hidden states with radii (arXiv 2211.11031)",
        _DOCUMENTS | _STEPS | {"layer", "grace_radius"},
        defaults={"lr": 2e-2},
        learned=_IN_MEMORY,
        has_entries=True,
    ),
    "cartridge": Method(
        "a learned prefix of keys and values for each document (arXiv 2506.06266)",
        _DOCUMENTS | _STEPS - {"mem_seed"} | {"cartridge_tokens"},
        defaults={"lr": 1e-1},
        learned={"cartridges": "cartridges.safetensors"},
        has_prefixes=True,
    ),
}


def find_method(name: str) -> Method:
    """The method of a name. Raises RequestError for an unknown name."""
    if name not in METHODS:
        raise unknown_name("--method", name, METHODS)
    return METHODS[name]


def with_method_defaults(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The chosen options, and the defaults of their method for what was not chosen.

    Under `location: hard` the inductive loss is off unless `alpha` is chosen: training cuts off all activation that the
    loss would press away.
    """
    defaults = dict(find_method(chosen.get("method", MEMORY)).defaults)
    if chosen.get("location") == "hard":
        defaults["alpha"] = 0.0
    return {**defaults, **chosen}


def only_own(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The options that their method uses, without the others."""
    options = find_method(chosen.get("method", MEMORY)).options
    return {name: value for name, value in chosen.items() if name in options}
