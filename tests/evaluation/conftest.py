"""Runs and language models that the tests of evaluation share."""

import dataclasses
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from fixtures.runs import load_run
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from simset_bench.corpora.facts.builtin import builtin_facts
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.models.loading import Base, load_base
from simset_bench.training.config import TrainConfig, make_config
from simset_bench.training.open_run import LoadedRun
from simset_bench.training.run import train_run

TOKENIZERS = ("gpt2", "gpt_neox", "sentencepiece", "merging")


@pytest.fixture(scope="session")
def tiny_config(tiny_llama: Path, tiny_corpus: Path) -> TrainConfig:
    """A run of seconds after which a tiny Llama repeats some of eight documents."""
    return make_config(
        None,
        model=str(tiny_llama),
        corpus=f"jsonl:{tiny_corpus}",
        num_docs=8,
        allocation="random",
        layer=2,
        entries=256,
        entries_per_doc=16,
        epochs=30,
        lr=2e-2,
        dtype="float32",
        device="cpu",
    )


@pytest.fixture(scope="session")
def run_of(tiny_config: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Folder of a finished run that differs from `tiny_config` in the given options, trained once a session."""

    @cache
    def trained(**options: object) -> Path:
        return train_run(dataclasses.replace(tiny_config, **options), tmp_path_factory.mktemp("outputs"))

    return trained


@pytest.fixture(scope="session")
def trained_run(run_of: Callable[..., Path]) -> Path:
    """Folder of the run of `tiny_config`; tests that change it copy it first."""
    return run_of()


@pytest.fixture(scope="session")
def loaded(trained_run: Path) -> LoadedRun:
    """The run of `tiny_config`, loaded."""
    return load_run(trained_run)


@pytest.fixture(scope="session")
def people_folder(run_of: Callable[..., Path]) -> Path:
    """A run on six people of nine, of two families that share values; a tiny model then repeats some of the text."""
    return run_of(corpus="people:count=9,family=3,values=0.5", num_docs=6, epochs=12)


@pytest.fixture(scope="session")
def people_run(people_folder: Path) -> LoadedRun:
    """The run on six people, loaded."""
    return load_run(people_folder)


@pytest.fixture(scope="session")
def lm(tiny_base: Callable[[str], Base]) -> MemoryLM:
    """The base of `trained_run` as an lm-eval model."""
    return MemoryLM(tiny_base("llama"), batch_size=4)


@pytest.fixture(scope="session")
def squad_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus in SQuAD's format: two articles of two paragraphs, three questions."""
    path = tmp_path_factory.mktemp("squad") / "squad.json"
    texts = [
        ["The mill of Orrin ground barley until 1911.", "Its wheel was made of larch by Petra Voss."],
        ["A ferry has crossed Lake Tamsin since the spring of 1874.", "It is 43 metres deep and holds char."],
    ]
    asked = {
        "until 1911": ("When did the mill of Orrin stop?", ["1911", "in 1911"]),
        "larch": ("What was the wheel made of?", ["larch"]),
        "spring of 1874": ("Since when is there a ferry?", ["1874"]),
    }
    data = []
    for number, paragraphs in enumerate(texts):
        entries = []
        for text in paragraphs:
            found = [(key, *question) for key, question in asked.items() if key in text]
            questions = [
                {
                    "id": key,
                    "question": question,
                    "answers": [{"text": answer, "answer_start": 0} for answer in answers],
                }
                for key, question, answers in found
            ]
            entries.append({"context": text, "qas": questions})
        data.append({"title": f"Article_{number}", "paragraphs": entries})
    path.write_text(json.dumps({"version": "1.1", "data": data}), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def unke_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus in the form of UnKEBench: two texts, of three sentences and of two."""
    texts = [
        ["The mill of Orrin ground barley until 1911.", "Its wheel was made of larch.", "Petra Voss bought it."],
        ["A ferry has crossed Lake Tamsin since 1874.", "The lake is 43 metres deep."],
    ]
    records = [
        {
            "id": number,
            "question": f"What is known of place {number}?",
            "para_question": f"Tell me about place {number}.",
            "answer": " ".join(sentences),
            "sub_question": [f"What is said in sentence {place} of text {number}?" for place in range(len(sentences))],
            "sub_answer": [sentence.rpartition(" ")[2] for sentence in sentences],
        }
        for number, sentences in enumerate(texts)
    ]
    path = tmp_path_factory.mktemp("unke") / "unke.json"
    path.write_text(json.dumps(records), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def base_with(tiny_base: Callable[[str], Base], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Base]:
    """A tiny base by the kind of its tokenizer.

    `gpt2` and `gpt_neox` are byte-level BPE; `sentencepiece` is built as Llama 2's, with `▁` for spaces, one put before
    a text, and `<s>` before that; `merging` has no word borders, so that its tokens reach across spaces.
    """
    root = tmp_path_factory.mktemp("tokenizers")

    @cache
    def made(kind: str) -> Base:
        if kind in ("gpt2", "gpt_neox"):
            return tiny_base(kind)
        tokenizer = {"sentencepiece": _sentencepiece, "merging": _merging}[kind]()
        sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = LlamaForCausalLM(LlamaConfig(**sizes, vocab_size=len(tokenizer), initializer_range=0.15))
        model.save_pretrained(root / kind)
        tokenizer.save_pretrained(root / kind)
        return load_base(str(root / kind), "float32", "cpu")

    return made


def _texts() -> list[str]:
    return [f"{fact.prompt} {fact.target_true}. {fact.question}" for fact in builtin_facts("probe")[:120]]


def _sentencepiece() -> PreTrainedTokenizerFast:
    learned = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    learned.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    # Llama's merges were learned within words and are used on whole texts.
    learned.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    learned.train_from_iterator(
        _texts(), trainers.BpeTrainer(vocab_size=600, special_tokens=special, show_progress=False)
    )
    learned.pre_tokenizer = None
    learned.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    learned.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=learned, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def _merging() -> PreTrainedTokenizerFast:
    learned = Tokenizer(models.BPE())
    learned.normalizer = normalizers.Replace(" ", "_")
    alphabet = sorted({character for text in _texts() for character in text.replace(" ", "_")})
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=[AddedToken("<|endoftext|>", special=True)],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    learned.train_from_iterator(_texts(), trainer)
    learned.decoder = decoders.Sequence([decoders.Fuse(), decoders.Replace("_", " ")])
    return PreTrainedTokenizerFast(tokenizer_object=learned, bos_token="<|endoftext|>", eos_token="<|endoftext|>")
