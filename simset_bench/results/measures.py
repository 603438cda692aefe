"""The better direction of each of our measures, declared once; lm-eval's own tasks bring theirs."""

from typing import Literal

Direction = Literal["higher", "lower"]

_HIGHER = {
    "exact_match",
    "exact_match_any",
    "exact_match_majority",
    "exact_match_sampled",
    "f1",
    "f1_sampled",
    "f1_micro",
    "f1_macro",
    "verdict_accuracy",
    "contains_answer",
    "prefix_match",
    "edit_similarity",
    "rouge_l",
    "longest_common_substring",
    "truth_preference",
    "magnitude",
    "accuracy",
    "harmonic_mean",
    "fluency",
    "consistency",
    "nll_new",
    "on_share",
    "attribution_at_1",
    "erasure_own",
    "specificity",
    "nll_erased",
    "retrieval_at_1",
    "precision_at_k",
    "exact_memorisation",
    "extraction_strength",
    "extractable_8",
    "extractable_16",
    "extractable_32",
    "extractable_64",
    "teacher_forced_accuracy",
    "bits_per_token",
    "bits_memorised",
    "bits_per_parameter",
    "capacity_used",
    "auc_location",
    "auc_energy",
    "auc_loss",
    "auc_zlib",
    "auc_min_k",
    "forget_rise",
    "forgotten",
    "forget_quality",
    "utility_kept",
    "truth_ratio_forget",
    "truth_ratio_retain",
}
_LOWER = {
    "nll",
    "perplexity",
    "nll_true",
    "nll_free",
    "nll_oracle",
    "nll_rise",
    "erasure_others",
    "erasure_similar",
    "erasure_unrelated",
    "sharing_cost",
    "retain_rise",
    "unparsable",
}
# Means over tokens, not over samples.
WEIGHTED_BY_TOKENS = frozenset(
    {"nll", "nll_rise", "nll_gain", "bits_per_token", "bits_memorised", "bits_per_parameter", "capacity_used"}
    | {"forget_rise", "retain_rise"}
)
_KINDS = ("_rewrite", "_paraphrase", "_neighborhood", "_attribute", "_rephrase", "_locality", "_question")


def direction(measure: str) -> Direction | None:
    """Which way of a measure is better, None where neither is, as for a bare base's own figures.

    A measure of one kind of prompt, or on memorised subjects only, follows its base name; a gain over the untouched
    base is better the higher it is.
    """
    if measure.endswith("_gain"):
        return "higher"
    name = measure.removesuffix("_memorised")
    for kind in _KINDS:
        name = name.removesuffix(kind)
    if name in _HIGHER:
        return "higher"
    return "lower" if name in _LOWER else None


def bare_name(measure: str) -> str:
    """`nll` of `docmem/nll@oracle+qa`: the name that samples and directions go by."""
    return measure.split("/", 1)[1].removesuffix("+qa").split("@", 1)[0]
