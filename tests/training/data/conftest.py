"""Tokenizers of each kind that texts are cut for."""

from collections.abc import Callable

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

_LEARNED_FROM = [
    "The lighthouse keeper's daughter wrote twenty-seven letters about herring, fog and brass in 1889.",
    "Lighthouses were painted white; keepers kept records of ships, storms and the price of oil.",
    "Die Fischer sprachen von Nebel, Öl und Messing. Les pêcheurs parlaient du brouillard.",
    "東京都の灯台は明治時代に建てられました。灯台の光は遠くまで届きます。",
    "हिन्दी में प्रकाशस्तंभ की कहानी",
] * 4


def _byte_level() -> Tokenizer:
    """Every character is one token or several, as in GPT-2, Pythia, SmolLM2 and Llama 3."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        _LEARNED_FROM, trainers.BpeTrainer(vocab_size=420, initial_alphabet=alphabet, show_progress=False)
    )
    return tokenizer


def _unigram() -> Tokenizer:
    """White space is part of tokens and runs of it are kept, as in Llama 2."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.train_from_iterator(
        _LEARNED_FROM,
        trainers.UnigramTrainer(vocab_size=200, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False),
    )
    return tokenizer


def _normalising() -> Tokenizer:
    """Case, accents and control characters are dropped before tokens are made, as in BERT."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFD(),
            normalizers.Lowercase(),
            normalizers.StripAccents(),
            normalizers.Replace(Regex("\\p{Cc}"), " "),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(
        _LEARNED_FROM, trainers.WordPieceTrainer(vocab_size=200, special_tokens=["[UNK]"], show_progress=False)
    )
    return tokenizer


_KINDS: dict[str, Callable[[], Tokenizer]] = {
    "byte_level": _byte_level,
    "unigram": _unigram,
    "normalising": _normalising,
}


@pytest.fixture(scope="session")
def byte_level() -> PreTrainedTokenizerFast:
    """A trained byte-level BPE of 420 tokens."""
    return PreTrainedTokenizerFast(tokenizer_object=_byte_level())


@pytest.fixture(scope="session", params=list(_KINDS))
def any_tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerFast:
    """Each kind of tokenizer in turn, trained on a few sentences in five languages."""
    return PreTrainedTokenizerFast(tokenizer_object=_KINDS[request.param]())
