"""The better direction of each of our measures, declared once; lm-eval's own tasks bring theirs."""

from typing import Literal

Direction = Literal["higher", "lower"]

_HIGHER = {
    "exact_match",
    "f1",
    "edit_similarity",
    "rouge_l",
    "truth_preference",
    "nll_new",
    "on_share",
    "attribution_at_1",
    "erasure_own",
    "specificity",
    "nll_erased",
    "retrieval_at_1",
}
_LOWER = {
    "nll",
    "perplexity",
    "nll_true",
    "nll_free",
    "nll_oracle",
    "nll_rise",
    "erasure_others",
}
# Means over tokens, not over samples.
WEIGHTED_BY_TOKENS = frozenset({"nll", "nll_rise"})
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


def bare_name(measure: str) -> str:
    """`nll` of `docmem/nll@oracle+qa`: the name that samples and directions go by."""
    return measure.split("/", 1)[1].removesuffix("+qa").split("@", 1)[0]
