"""A tokenizer that fits its model: open texts, and ids that the embedding has."""

import json
import shutil
from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from simset_bench.errors import RequestError
from simset_bench.models.fit_tokenizer import fit_tokenizer
from simset_bench.models.loading import load_base

TEXT = "Teresa Molina was a glassblower"
ENDS = [("<|endoftext|>", 0), ("<s>", 1)]
CLOSING = {
    "template": processors.TemplateProcessing(
        single="<s> $A <|endoftext|>", pair="<s> $A <|endoftext|> $B:1 <|endoftext|>:1", special_tokens=ENDS
    ),
    "at the end alone": processors.TemplateProcessing(single="$A <|endoftext|> <|endoftext|>", special_tokens=ENDS),
    "bert": processors.BertProcessing(("<|endoftext|>", 0), ("<s>", 1)),
    "roberta": processors.RobertaProcessing(("<|endoftext|>", 0), ("<s>", 1)),
    "sequence": processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single="<s> $A <|endoftext|>", special_tokens=ENDS),
        ]
    ),
}


@pytest.fixture
def tokenizer(tiny_llama: Path) -> PreTrainedTokenizerFast:
    """The tiny Llama's tokenizer, which a test may change."""
    loaded: PreTrainedTokenizerFast = AutoTokenizer.from_pretrained(tiny_llama, trust_remote_code=False)
    return loaded


@pytest.mark.parametrize("kind", CLOSING)
def test_special_tokens_that_close_a_text_are_left_off_and_opening_ones_stay(
    tokenizer: PreTrainedTokenizerFast, kind: str
) -> None:
    tokenizer.backend_tokenizer.post_processor = CLOSING[kind]
    bare, closed = tokenizer(TEXT, add_special_tokens=False), tokenizer(TEXT).input_ids
    offsets = tokenizer(TEXT, add_special_tokens=False, return_offsets_mapping=True).offset_mapping
    opening = [] if kind == "at the end alone" else closed[:1]
    assert closed[len(opening) : len(opening) + len(bare.input_ids)] == bare.input_ids
    assert len(closed) > len(opening) + len(bare.input_ids)
    fit_tokenizer(tokenizer, len(tokenizer), "any")
    assert tokenizer(TEXT).input_ids == opening + bare.input_ids
    assert tokenizer.encode(TEXT) == opening + bare.input_ids
    again = tokenizer(TEXT, add_special_tokens=False, return_offsets_mapping=True)
    assert again.input_ids == bare.input_ids
    assert again.offset_mapping == offsets


def test_a_tokenizer_that_closes_no_text_is_left_as_it_is(tokenizer: PreTrainedTokenizerFast) -> None:
    before = tokenizer.backend_tokenizer.to_str()
    fit_tokenizer(tokenizer, len(tokenizer), "any")
    assert tokenizer.backend_tokenizer.to_str() == before


@pytest.mark.parametrize("has_end", [True, False])
def test_padding_without_a_row_is_another_token_and_its_name_an_ordinary_text(
    tokenizer: PreTrainedTokenizerFast, has_end: bool
) -> None:
    rows = len(tokenizer)
    if not has_end:
        tokenizer.eos_token = None
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    assert tokenizer.pad_token_id == rows
    fit_tokenizer(tokenizer, rows, "any")
    assert tokenizer.pad_token_id < rows
    ids = tokenizer(f"{TEXT} [PAD]").input_ids
    assert max(ids) < rows
    assert tokenizer.decode(ids, skip_special_tokens=True) == f"{TEXT} [PAD]"


def test_padding_that_the_model_has_stays(tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    fit_tokenizer(tokenizer, len(tokenizer), "any")
    assert tokenizer.pad_token == "[PAD]"


def test_a_token_without_a_row_is_named_with_its_model(tiny_llama: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_llama, tmp_path / "model"))
    grown = Tokenizer.from_file(str(folder / "tokenizer.json"))
    grown.add_tokens([AddedToken("<|turn|>")])
    grown.save(str(folder / "tokenizer.json"))
    rows = json.loads((folder / "config.json").read_text(encoding="utf-8"))["vocab_size"]
    with pytest.raises(RequestError, match=rf"model {folder}: 1 tokens .*'<\|turn\|>'.* embedding of {rows}"):
        load_base(str(folder), "float32", "cpu")
