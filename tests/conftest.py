"""Fixtures that every folder of tests shares."""

import json
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import settings
from scipy import stats
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from simset_bench.models.loading import Base, load_base
from simset_bench.training.config import TrainConfig, make_config
from simset_bench.training.method_options import METHODS
from simset_bench.training.run import train_run

# The same examples on every machine, however slow: a failure can be seen again, and a busy machine is none.
settings.register_profile("suite", deadline=None, derandomize=True)
settings.load_profile("suite")

REPOSITORY = Path(__file__).resolve().parents[1]
TINY_CORPUS = Path(__file__).parent / "data" / "tiny_corpus.jsonl"

# Four blocks of width 64 each: as few as still have blocks below, at and above a memory. The types differ in what
# matters here: tied heads, learned or rotary positions, grouped keys, soft-capped logits, and what a block returns
# (a tuple in Bloom, a list in OpenAI GPT, a tensor in the others).
_LLAMA_LIKE = {"intermediate_size": 128, "num_key_value_heads": 2}
TINY_CONFIGS: dict[str, dict[str, object]] = {
    "llama": _LLAMA_LIKE,
    "gpt_neox": {"intermediate_size": 128},
    "gpt2": {"n_embd": 64, "n_layer": 4, "n_head": 4, "n_positions": 256},
    "qwen2": _LLAMA_LIKE | {"tie_word_embeddings": True},
    "opt": {"ffn_dim": 128, "word_embed_proj_dim": 64, "activation_function": "relu"},
    "bloom": {"n_layer": 4, "n_head": 4},
    "openai-gpt": {"n_embd": 64, "n_layer": 4, "n_head": 4, "n_positions": 256, "afn": "gelu"},
    "gemma2": _LLAMA_LIKE | {"head_dim": 16, "query_pre_attn_scalar": 16, "final_logit_softcapping": 2.0},
}


@pytest.fixture(scope="session", autouse=True)
def no_hidden_states_left_behind() -> Iterator[None]:
    """Keeps the tests' hidden states out of the user's cache; tests of the cache have one of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIMSET_BENCH_PREFIX_CACHE_GB", "0")
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real data beside the checkout; tests that need it skip where it is absent."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the real data sets in {folder}")
    return folder


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `jsonl:` corpus of 24 documents of two sentences; `ID-copy` differs from `ID` in one word (6 pairs)."""
    return Path(shutil.copy(TINY_CORPUS, tmp_path_factory.mktemp("corpus") / "tiny.jsonl"))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of a saved tiny model of a type in `TINY_CONFIGS`, made once a session."""
    root = tmp_path_factory.mktemp("models")

    def saved(kind: str) -> Path:
        folder = root / f"tiny-{kind}"
        if not folder.is_dir():
            # Only Llama's opens a text with a BOS, as the real ones do.
            tokenizer = _tokenizer(opens_with_bos=kind == "llama")
            _model(kind, tokenizer).save_pretrained(folder)
            tokenizer.save_pretrained(folder)
        return folder

    return saved


@pytest.fixture(scope="session")
def tiny_base(tiny_model: Callable[[str], Path]) -> Callable[[str], Base]:
    """The tiny model of a type, loaded once a session in float32 on the CPU; it is frozen, so tests may share it."""
    return cache(lambda kind: load_base(str(tiny_model(kind)), "float32", "cpu"))


@pytest.fixture(scope="session")
def tiny_llama(tiny_model: Callable[[str], Path]) -> Path:
    """Folder of a Llama with 4 blocks of width 64; its tokenizer opens a text with `<s>`."""
    return tiny_model("llama")


@pytest.fixture(scope="session")
def tiny_neox(tiny_model: Callable[[str], Path]) -> Path:
    """Folder of a GPT-NeoX with 4 blocks of width 64."""
    return tiny_model("gpt_neox")


@pytest.fixture(scope="session")
def tiny_gpt2(tiny_model: Callable[[str], Path]) -> Path:
    """Folder of a GPT-2 with 4 blocks of width 64."""
    return tiny_model("gpt2")


# Seconds of training after which each method that learns has learned four documents.
_METHOD_OPTIONS: dict[str, object] = {
    "epochs": 20,
    "batch_size": 2,
    "lr": 2e-2,
    "entries": 64,
    "entries_per_doc": 8,
    "layer": 2,
}
_OWN_OPTIONS: dict[str, dict[str, object]] = {
    "lora": {"lr": 1e-2},
    "full": {"lr": 2e-3},
    "guidance": {"alpha": 1.0, "guidance_tau": 7.5},
}


@pytest.fixture(scope="session")
def config_of_method(tiny_llama: Path, tiny_corpus: Path) -> Callable[..., TrainConfig]:
    """The configuration of a method on four documents and a tiny Llama, with other options where some are given."""

    def made(method: str, **options: object) -> TrainConfig:
        chosen = _METHOD_OPTIONS | _OWN_OPTIONS.get(method, {}) | options
        kept = {name: value for name, value in chosen.items() if name in METHODS[method].options}
        about = {"model": str(tiny_llama), "corpus": f"jsonl:{tiny_corpus}", "num_docs": 4}
        return make_config(None, method=method, **about, dtype="float32", device="cpu", **kept)

    return made


@pytest.fixture(scope="session")
def method_outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder below which `run_of_method` trains."""
    return tmp_path_factory.mktemp("methods")


@pytest.fixture(scope="session")
def run_of_method(
    config_of_method: Callable[..., TrainConfig], tiny_base: Callable[[str], Base], method_outputs: Path
) -> Callable[[str], Path]:
    """Folder of a method's finished run, trained once a session."""
    return cache(lambda method: train_run(config_of_method(method), method_outputs, base=tiny_base("llama")))


@pytest.fixture
def write_run(tmp_path: Path, write_runs_below: Callable[[Path], Callable[..., Path]]) -> Callable[..., Path]:
    """`write_runs_below` of the test's own folder."""
    return write_runs_below(tmp_path)


@pytest.fixture(scope="session")
def write_runs_below() -> Callable[[Path], Callable[..., Path]]:
    """Write run folders as training and evaluation leave them, without their memories, into `outputs` below a folder.

    `measures` maps `task`, `task@recall` or `task+qa` to measures, each a list with a value a document; the run's value
    is their mean. Other options are the configuration's, over those of a plain run; None leaves one out.
    """
    return _run_writer


def _run_writer(root: Path) -> Callable[..., Path]:
    numbers = count()

    def written(
        measures: dict[str, dict[str, list[float]]] | None = None, *, limit: int | None = None, **options: object
    ) -> Path:
        number = next(numbers)
        folder = root / "outputs" / f"run_{number}"
        folder.mkdir(parents=True)
        config = {
            "model": "m",
            "corpus": "vital",
            "layer": 22,
            "num_docs": 4,
            "num_clusters": 4,
            "allocation": "simset2",
        }
        config |= {"alpha": 1.0, "location": "soft", "inductive_form": "log", "entries": 64, "entries_per_doc": 8}
        config |= {"mem_seed": 0, "seed": 0} | options
        config = {name: value for name, value in config.items() if value is not None}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        hashes = {"model": "h", "corpus": "h", "memory": f"{number}", "config": f"{number}"}
        manifest = {"schema": 1, "kind": "train", "model": config["model"], "hashes": hashes}
        (folder / "manifest.json").write_text(json.dumps(manifest))
        for name, values in (measures or {}).items():
            _write_evaluation(folder / "eval", name, values, limit)
        return folder

    return written


def _write_evaluation(folder: Path, name: str, measures: dict[str, list[float]], limit: int | None) -> None:
    task, _, recall = name.removesuffix("+qa").partition("@")
    result = {
        "schema": 1,
        "task": task,
        "label": task,
        "recall": recall or "free",
        "qa_finetuned": name.endswith("+qa"),
        "limit": limit,
    }
    result |= {"measures": {measure: float(np.mean(values)) for measure, values in measures.items()}}
    result |= {"standard_errors": {measure: float(stats.sem(values)) for measure, values in measures.items()}}
    result |= {"n": {measure: len(values) for measure, values in measures.items()}, "higher_is_better": {}}
    folder.mkdir(exist_ok=True)
    stem = f"{task}.{recall or 'free'}{'.qa' if name.endswith('+qa') else ''}"
    (folder / f"{stem}.json").write_text(json.dumps(result))
    records = []
    for document in range(len(next(iter(measures.values())))):
        record = {"document": f"d{document}", "sample": f"d{document}#0", "cluster": f"d{document}"}
        record |= {"measures": {measure: values[document] for measure, values in measures.items()}}
        records.append(record | {"prompt_hash": f"p{document}", "target_hash": f"t{document}"})
    (folder / f"{stem}.samples.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def _model(kind: str, tokenizer: PreTrainedTokenizerFast) -> torch.nn.Module:
    common = {"hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "max_position_embeddings": 256}
    if "n_layer" in TINY_CONFIGS[kind]:
        common = {"hidden_size": 64} if kind == "bloom" else {}
    # Wider than the default of 0.02, with which blocks of so small a width change next to nothing.
    start = "init_std" if kind == "opt" else "initializer_range"
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    options = common | ids | {start: 0.15, "vocab_size": len(tokenizer)} | TINY_CONFIGS[kind]
    config = AutoConfig.for_model(kind, **options)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(config, dtype=torch.float32)


def _tokenizer(opens_with_bos: bool) -> PreTrainedTokenizerFast:
    """Byte-level BPE of at most 500 tokens, learned from the tiny corpus."""
    learned = Tokenizer(models.BPE())
    learned.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    learned.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=["<|endoftext|>", "<s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [json.loads(line)["text"] for line in TINY_CORPUS.read_text(encoding="utf-8").splitlines()]
    learned.train_from_iterator(texts, trainer)
    if opens_with_bos:
        learned.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    bos = "<s>" if opens_with_bos else "<|endoftext|>"
    return PreTrainedTokenizerFast(tokenizer_object=learned, bos_token=bos, eos_token="<|endoftext|>")
