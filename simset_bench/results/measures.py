"""Every measure's better direction, declared once."""

from typing import Literal

Direction = Literal["higher", "lower"]

_HIGHER = {
    "exact_match",
    "f1",
    "edit_similarity",
    "rouge_l",
    "truth_preference",
    "on_share",
    "attribution_at_1",
    "erasure_own",
    "specificity",
    "nll_erased",
    "acc",
    "acc_norm",
}
_LOWER = {
    "nll",
    "perplexity",
    "nll_true",
    "nll_free",
    "nll_oracle",
    "erasure_others",
    "word_perplexity",
    "bits_per_byte",
}
_KINDS = ("_rewrite", "_paraphrase", "_neighborhood")


def direction(measure: str) -> Direction | None:
    """Which way of a measure is better, None where neither is, as for a bare base's own figures.

    A measure of one kind of prompt, or on memorised subjects only, follows its base name.
    """
    name = measure.removesuffix("_memorised")
    for kind in _KINDS:
        name = name.removesuffix(kind)
    if name in _HIGHER:
        return "higher"
    return "lower" if name in _LOWER else None


def arrow(measure: str) -> str:
    """An arrow to the better side, or nothing."""
    return {"higher": "↑", "lower": "↓", None: ""}[direction(measure)]
