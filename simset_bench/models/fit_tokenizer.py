"""Makes a tokenizer fit a causal LM: no text is closed, and padding is a token that the model has."""

import json
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from simset_bench.errors import RequestError

# A word of any language that has tokens: only the special tokens around it matter.
_WORD = "a"


def fit_tokenizer(tokenizer: Any, rows: int, name: str) -> None:
    """Change a fast tokenizer of transformers so that prompts can go on, and its ids fit an embedding of `rows` rows.

    Special tokens that close a text (`</s>`, `[SEP]`) are left off; those that open one stay. The padding token is kept
    where the model has it. Raises RequestError, which names the model, where another token has no row.
    """
    pad = tokenizer.pad_token
    beyond = [token for token, number in tokenizer.get_vocab().items() if number >= rows and token != pad]
    if beyond:
        raise RequestError(
            f"model {name}: {len(beyond)} tokens of its tokenizer, such as {sorted(beyond)[0]!r}, have no row in its "
            f"embedding of {rows}: the tokenizer is that of another model, or the embedding was not resized"
        )
    closes, pad_is_beyond = _closes(tokenizer), (tokenizer.pad_token_id or 0) >= rows
    if closes or pad_is_beyond:
        settings = json.loads(tokenizer.backend_tokenizer.to_str())
        # A text that holds the name of a padding token without a row must not become that token.
        settings["added_tokens"] = [token for token in settings["added_tokens"] if token["id"] < rows]
        if closes:
            settings["post_processor"] = _open(settings["post_processor"])
        tokenizer._tokenizer = Tokenizer.from_str(json.dumps(settings))
    if tokenizer.pad_token_id is None or pad_is_beyond:
        # Any token will do, since no real token attends to padding.
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
    if closes and _closes(tokenizer):
        raise RequestError(f"model {name}: its tokenizer closes every text, so that no prompt can go on")


def _closes(tokenizer: PreTrainedTokenizerBase) -> bool:
    bare, whole = tokenizer(_WORD, add_special_tokens=False).input_ids, tokenizer(_WORD).input_ids
    return bool(bare) and whole[-len(bare) :] != bare


def _open(processor: dict[str, Any]) -> dict[str, Any]:
    """The settings of a post-processor, without the special tokens that follow a text."""
    kind = processor["type"]
    if kind == "Sequence":
        return processor | {"processors": [_open(each) for each in processor["processors"]]}
    if kind == "TemplateProcessing":
        return processor | {form: _without_end(processor[form]) for form in ("single", "pair")}
    if kind in ("BertProcessing", "RobertaProcessing"):
        token, number = processor["cls"]
        opening = {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": token, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {token: {"id": token, "ids": [number], "tokens": [token]}},
        }
        if kind == "BertProcessing":
            return opening
        spaces = {name: processor[name] for name in ("add_prefix_space", "trim_offsets")}
        return {"type": "Sequence", "processors": [{"type": "ByteLevel", "use_regex": True, **spaces}, opening]}
    return processor


def _without_end(template: list[dict[str, Any]]) -> list[dict[str, Any]]:
    last = max(place for place, part in enumerate(template) if "Sequence" in part)
    return template[: last + 1]
