"""Every measure of ours, one record each: its better side, unit, bounds, weights and where it is shown.

Tasks, probes, the board and the page all read `MEASURES`, so that a measure is declared in one place. The module
imports nothing heavy, since commands that load no model read it too.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

# Raised when a field of `result_files.write_result` changes its name or its meaning.
RESULT_SCHEMA = 1

Direction = Literal["higher", "lower"]
Bounds = tuple[float | None, float | None]
# How all samples make one figure: see `Measure.form`.
Form = Literal["mean", "exp", "ratio", "one_less_ratio", "harmonic", "auc", "other"]

MEMORISATION, RECALL, LOCATION, DAMAGE = "memorisation", "recall", "location", "damage"
SHARE: Bounds = (0.0, 1.0)
NATS, BITS = "nats a token", "bits"
# Exact match and F1 of what the pairs of a question-answer fine-tuning alone would answer.
FLOORS = ("majority_answer", "majority_f1")


@dataclass(frozen=True)
class Measure:
    """What is known of a measure wherever it is computed, tested or shown.

    `name` is what samples call it, or `task/name` where one task's differs from the others'. `better` is None where
    neither side is. `bounds` are the least and the greatest value that it can take, None where there is none.
    `is_binary` says that each sample is 0 or 1. `by_tokens` says that it is a mean over tokens and not over samples.

    `form` says how samples make the figure, and from which of their values, `parts` (the measure's own by default):
    `mean`; `exp` of a mean; `ratio` of two means, or 1 less that ratio;
    `harmonic` mean of several means; `auc`, the area under the ROC curve of a score for telling members from others;
    `other` where samples do not keep what it takes.

    `short` heads a column; measures that have one are the best known. `group` is the group of columns. `undefined_for`
    names allocations and methods under which it has its value by definition, so that it says nothing. `chance` is what
    a guess would give: a number, the measure that holds it, or `documents` for 1 over their number. `derive` computes
    it from a sample's other values, and gives None where these do not have what it takes.
    """

    name: str
    better: Direction | None
    group: str = RECALL
    unit: str = ""
    bounds: Bounds = (None, None)
    is_binary: bool = False
    by_tokens: bool = False
    form: Form = "mean"
    parts: tuple[str, ...] = ()
    short: str = ""
    undefined_for: frozenset[str] = frozenset()
    chance: float | str | None = None
    derive: Callable[[Mapping[str, float]], float | None] | None = None

    @property
    def is_share(self) -> bool:
        """Whether its values are shares of something, in [0, 1]."""
        return self.bounds == SHARE


def _share(name: str, group: str = RECALL, better: Direction | None = "higher", **more: object) -> Measure:
    return Measure(name, better, group, "share", SHARE, **more)  # type: ignore[arg-type]


def _hit(name: str, group: str = RECALL, better: Direction | None = "higher", **more: object) -> Measure:
    return _share(name, group, better, is_binary=True, **more)


def _nll(name: str, group: str = RECALL, better: Direction | None = "lower", **more: object) -> Measure:
    return Measure(name, better, group, NATS, (0.0, None), **more)  # type: ignore[arg-type]


def _rise(name: str, group: str, better: Direction, **more: object) -> Measure:
    return Measure(name, better, group, NATS, **more)  # type: ignore[arg-type]


def _lift(values: Mapping[str, float]) -> float | None:
    """How far a document's on-share is above the share of entries that it owns, of what it could be above it."""
    share, chance = values.get("on_share"), values.get("entry_share")
    return None if share is None or chance is None or chance >= 1 else (share - chance) / (1 - chance)


def _own_less_others(values: Mapping[str, float]) -> float | None:
    """How much more an erasure raises the NLL of the document that it erases than that of others."""
    own, others = values.get("erasure_own"), values.get("erasure_others")
    return None if own is None or others is None else own - others


# All entries are every document's, so that all of its activation is on them.
_NONE = frozenset({"none"})
_ERASED_FACTS: tuple[tuple[str, Direction], ...] = (
    ("erased", "higher"),
    ("shared_values", "lower"),
    ("own_values", "lower"),
    ("strangers", "lower"),
)
_TRUTHS = tuple(f"truth_preference_{kind}" for kind in ("rewrite", "paraphrase", "neighborhood"))

# The best known come first, in the order in which boards show them.
_ALL = (
    _nll("docmem/nll", MEMORISATION, by_tokens=True, short="NLL"),
    _hit("counterfact/truth_preference_rewrite", chance=0.5, short="CF truth"),
    _share("docqa/f1", short="QA F1", chance="majority_f1"),
    _share("attribution_at_1", LOCATION, undefined_for=_NONE, chance="documents", short="attrib.@1"),
    Measure(
        "specificity",
        "higher",
        LOCATION,
        form="ratio",
        parts=("erasure_own", "erasure_others"),
        undefined_for=_NONE,
        short="specificity",
    ),
    _hit("docmem/exact_match", MEMORISATION, short="verbatim"),
    _share("on_share", LOCATION, undefined_for=_NONE, chance="entry_share", short="on-share"),
    # log2 32 where the model is sure of the truth; without limit below, where it is sure of what is wrong.
    Measure("bits", "higher", unit=BITS, bounds=(None, 5.0), chance=0.0),
    # Wordings that no document had: what recall is judged by.
    Measure("people/bits_paraphrase", "higher", unit=BITS, bounds=(None, 5.0), short="bits", chance=0.0),
    _hit("doccloze/truth_preference", chance=0.5, short="cloze"),
    _share("counterfact/f1", short="CF F1", chance="majority_f1"),
    _rise("nll_rise", DAMAGE, "lower", by_tokens=True, short="damage"),
    _rise("erasure_difference", LOCATION, "higher", undefined_for=_NONE, derive=_own_less_others, short="own - others"),
    _nll("nll", MEMORISATION, by_tokens=True),
    Measure("perplexity", "lower", MEMORISATION, "perplexity", (1.0, None), form="exp", parts=("nll",)),
    _nll("damage/nll", DAMAGE, by_tokens=True),
    Measure("damage/perplexity", "lower", DAMAGE, "perplexity", (1.0, None), form="exp", parts=("nll",)),
    _share("docmem/edit_similarity", MEMORISATION),
    _share("docmem/rouge_l", MEMORISATION),
    _share("longest_common_substring", MEMORISATION),
    _share("exact_memorisation", MEMORISATION),
    _share("extraction_strength", MEMORISATION),
    *(_hit(f"extractable_{length}", MEMORISATION) for length in (8, 16, 32, 64)),
    Measure("bits_per_token", "higher", MEMORISATION, BITS, by_tokens=True),
    Measure("bits_memorised", "higher", MEMORISATION, BITS, by_tokens=True),
    Measure("bits_per_parameter", "higher", MEMORISATION, BITS, by_tokens=True),
    Measure("capacity_used", "higher", MEMORISATION, "share", by_tokens=True),
    *(
        _share(f"auc_{name}", MEMORISATION, chance=0.5, form="auc", parts=(f"{name}_score",))
        for name in ("location", "energy", "loss", "zlib", "min_k")
    ),
    _hit("people/accuracy", chance=1 / 32),
    _hit("wrong_kin", better="lower"),
    Measure("recalled_bits_per_parameter", "higher", unit=BITS),
    _hit("exact_match", chance="majority_answer"),
    _hit("exact_match_any", chance="majority_answer"),
    _hit("exact_match_majority", chance="majority_answer"),
    _share("exact_match_sampled", chance="majority_answer"),
    _share("f1", chance="majority_f1"),
    _share("f1_sampled", chance="majority_f1"),
    # What the pairs of a question-answer fine-tuning alone would score: floors, and no merit of a run.
    _hit("majority_answer", better=None),
    _share("majority_f1", better=None),
    _share("f1_micro", form="other"),
    _share("f1_macro", form="other"),
    _hit("verdict_accuracy", chance=1 / 3),
    _hit("unparsable", better="lower"),
    _hit("contains_answer"),
    _hit("prefix_match"),
    _share("edit_similarity"),
    _share("rouge_l"),
    _share("rouge_l_recall"),
    _hit("truth_preference", chance=0.5),
    Measure("magnitude", "higher", bounds=(-1.0, 1.0)),
    _hit("accuracy"),
    _share("harmonic_mean", form="harmonic", parts=_TRUTHS),
    _nll("nll_true"),
    _nll("nll_new", better="higher"),
    Measure("fluency", "higher", unit=BITS, bounds=(0.0, None)),
    _share("consistency", form="other"),
    _share("teacher_forced_accuracy"),
    _hit("retrieval_at_1", form="other"),
    _hit("routed_at_1", chance="documents"),
    *(_hit(f"routed_at_1_{length}", chance="documents") for length in (8, 16, 32, 64)),
    # An error that leads to a relative's facts is neither better nor worse than another.
    _hit("routed_kin", better=None),
    _share("precision_at_k", LOCATION, undefined_for=_NONE, chance="entry_share"),
    # -k / (M - k) where no activation is on k of M entries, which is above -1 for all but very large sets.
    Measure("on_share_lift", "higher", LOCATION, bounds=(None, 1.0), undefined_for=_NONE, derive=_lift),
    _share("entry_share", LOCATION, None),
    _nll("nll_free", LOCATION),
    _nll("nll_oracle", LOCATION),
    _nll("nll_erased", LOCATION, better="higher"),
    _rise("erasure_own", LOCATION, "higher"),
    _rise("erasure_others", LOCATION, "lower"),
    _rise("erasure_similar", LOCATION, "lower"),
    _rise("erasure_unrelated", LOCATION, "lower"),
    _rise("sharing_cost", LOCATION, "lower"),
    *(_share(f"{what}_{sort}", LOCATION, None) for what in ("jaccard", "overlap") for sort in ("similar", "unrelated")),
    # What facts lose by an erasure: a person's own, relatives' of the same and of another value, and strangers'.
    *(
        lost
        for sort, better in _ERASED_FACTS
        for lost in (
            Measure(f"bits_lost_{sort}", better, LOCATION, BITS),
            Measure(f"accuracy_lost_{sort}", better, LOCATION, "share", (-1.0, 1.0)),
        )
    ),
    _share("on_share_last", LOCATION, undefined_for=_NONE, chance="entry_share"),
    Measure("bits_lost_own_entries", "higher", LOCATION, BITS),
    Measure("bits_lost_active_entries", "lower", LOCATION, BITS),
    Measure("bits_lost_random_entries", "lower", LOCATION, BITS),
    *(
        measure
        for sort in ("kin", "strangers", "itself")
        for measure in (
            _nll(f"relearned_nll_{sort}", LOCATION, better=None),
            _nll(f"control_nll_{sort}", LOCATION, better=None),
            _rise(f"resurfaced_nll_{sort}", LOCATION, "lower"),
            Measure(f"relearned_bits_{sort}", None, LOCATION, BITS, (None, 5.0)),
            Measure(f"control_bits_{sort}", None, LOCATION, BITS, (None, 5.0)),
            Measure(f"resurfaced_bits_{sort}", "lower", LOCATION, BITS),
        )
    ),
    _nll("nll_before", LOCATION),
    Measure("bits_before", "higher", LOCATION, BITS, (None, 5.0)),
    _rise("forget_rise", LOCATION, "higher", by_tokens=True),
    _rise("retain_rise", LOCATION, "lower", by_tokens=True),
    # What the memory had gained on a document before an erasure.
    Measure("gain", None, LOCATION, NATS, by_tokens=True),
    Measure("forgotten", "higher", LOCATION, form="ratio", parts=("forget_rise", "gain")),
    Measure("utility_kept", "higher", LOCATION, form="one_less_ratio", parts=("retain_rise", "gain")),
    _share("forget_quality", LOCATION, form="other"),
    _share("truth_ratio_forget", LOCATION),
    _share("truth_ratio_retain", LOCATION),
    # In percent, as in MUSE, whose figures it is read beside.
    Measure("privacy_leakage", None, LOCATION, "percent", (-100.0, None), form="other"),
)
MEASURES: dict[str, Measure] = {measure.name: measure for measure in _ALL}

_OF_PROMPTS = ("_rewrite", "_stated", "_paraphrase", "_neighborhood", "_attribute")
_OF_QUESTIONS = ("_rephrase", "_locality", "_question", "_multihop", "_cloze", "_fact")
_KINDS = (*_OF_PROMPTS, *_OF_QUESTIONS)


def find_measure(name: str) -> Measure:
    """The record of a measure by its bare name (`f1_gain`) or a board's (`counterfact:file/f1_rephrase@oracle+qa`).

    A measure of one kind of prompt, or on memorised subjects only, is the measure itself. The base's own figure
    (`_base`) is better neither way; a gain over the base (`_gain`) is better the higher it is, and its bounds are those
    of a difference of two values. Of a measure that is not ours only the name is known.
    """
    task, _, rest = name.rpartition("/") if "/" not in name else name.partition("/")
    bare = _before_qa(rest).split("@", 1)[0] if task else rest
    task = task.split("@", 1)[0].split(":", 1)[0]
    if bare.endswith("_gain"):
        return _gain(_known(task, bare.removesuffix("_gain")))
    if bare.endswith("_base"):
        return _of_base(_known(task, bare.removesuffix("_base")))
    return _known(task, bare)


def _known(task: str, bare: str) -> Measure:
    whole = bare.removesuffix("_memorised")
    stem = whole
    for kind in _KINDS:
        stem = stem.removesuffix(kind)
    # The whole name first: `bits_memorised` is no `bits`.
    names = dict.fromkeys(name for part in (bare, whole, stem) for name in (f"{task}/{part}", part))
    found = next((MEASURES[name] for name in names if name in MEASURES), Measure(bare, None))
    suffix = bare.removeprefix(found.name.rpartition("/")[2])
    if suffix and found.chance in FLOORS:
        found = replace(found, chance=f"{found.chance}{suffix}")
    if bare == whole or found.name.endswith("_memorised"):
        return found
    return replace(found, parts=tuple(f"{part}_memorised" for part in found.parts))


def _gain(measure: Measure) -> Measure:
    """The record of what is gained in a measure: a mean of differences, each within a sample."""
    low, high = measure.bounds
    reach = None if low is None or high is None else high - low
    bounds = (None, None) if reach is None else (-reach, reach)
    unit = "" if measure.is_share else measure.unit
    return replace(
        measure,
        better="higher",
        unit=unit,
        bounds=bounds,
        is_binary=False,
        form="mean",
        parts=(),
        chance=None,
        derive=None,
    )


def _of_base(measure: Measure) -> Measure:
    """The record of the untouched base's own figure, which samples keep for attacks alone."""
    parts = tuple(f"{part.removesuffix('_score')}_base_score" for part in measure.parts)
    form: Form = measure.form if measure.form in ("mean", "auc") else "other"
    return replace(measure, better=None, form=form, parts=parts if form == "auc" else (), chance=None, derive=None)


def after_qa(disjoint: str | None) -> str:
    """What a board puts behind the names of tasks and measures after Q-A fine-tuning: `+qa`, or `+qa-targets`.

    disjoint: what the fine-tuning's pairs share with no probe, `subjects` (or None, as in old results) or `targets`.
    """
    return "+qa" if disjoint in (None, "subjects") else f"+qa-{disjoint}"


def _before_qa(name: str) -> str:
    """A board's name without what `after_qa` puts behind it."""
    return name.partition("+qa")[0]


def parts_of_ratio(measure: str) -> tuple[str, str] | None:
    """Names on a board of the two means whose ratio a board's measure is; None where it is no ratio of measures."""
    record = find_measure(measure)
    if record.form != "ratio" or any(part not in MEASURES for part in record.parts):
        return None
    above, below = (measure.replace(bare_name(measure), part, 1) for part in record.parts)
    return above, below


def direction(measure: str) -> Direction | None:
    """Which side of a measure is better, None where neither is."""
    return find_measure(measure).better


def higher_is_better(measure: str) -> bool | None:
    """`direction` as result files and lm-eval have it."""
    better = direction(measure)
    return None if better is None else better == "higher"


def bare_name(measure: str) -> str:
    """`nll` of `docmem/nll@oracle+qa`: the name that samples call it by."""
    return _before_qa(measure.split("/", 1)[1]).split("@", 1)[0]


def best_known(measures: Iterable[str]) -> list[str]:
    """Those of a board's measures that have a short name, in the order of `MEASURES`; after Q-A fine-tuning, recall."""
    there = set(measures)
    chosen = []
    for measure in (measure for measure in MEASURES.values() if measure.short):
        names = [name for name in there if bare_name(name) == measure.name.rpartition("/")[2]]
        ours = [name for name in names if "@" not in name and ":" not in name and find_measure(name) is measure]
        chosen += sorted(name for name in ours if measure.group == RECALL or name == _before_qa(name))
    return chosen


def short_name(measure: str) -> str:
    """What heads a column of a board's measure; a mode of recall and Q-A fine-tuning follow the name."""
    plain, _, recall = _before_qa(measure).partition("@")
    record = find_measure(plain)
    if not record.short or ":" in plain or record.name.rpartition("/")[2] != bare_name(plain):
        return measure
    after = measure.removeprefix(_before_qa(measure)).replace("+qa", "+QA").replace("-", " ")
    return " ".join(part for part in (record.short, recall, after) if part)


def summed_over_tokens() -> list[str]:
    """Names in samples of all values that are means over tokens."""
    names = [measure.name.rpartition("/")[2] for measure in MEASURES.values() if measure.by_tokens]
    return sorted({f"{name}{suffix}" for name in names for suffix in ("", "_gain")})
