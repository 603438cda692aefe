"""The allocation strategies: one record and its function each, by their names on the command line.

A new strategy is a function and a line in `STRATEGIES`; commands, engines, plots and the page read that line.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np

from simset_bench.errors import RequestError, unknown_name
from simset_bench.simset.signatures import mix64, signatures
from simset_bench.simset.terms import entries_of_terms, specific_terms

PARTITIONS_BY = ("size", "length", "whole")

# Signatures turned into entries at once.
_TOGETHER = 512
# Keeps the generator of permutations apart from those of random entries, which are seeded with small numbers.
_SHUFFLE = 0x5348_5546_464C_4544


@dataclass(frozen=True)
class Units:
    """What entries are drawn for: one text and one length in words for each cluster, in the clusters' order."""

    shingle_sets: Callable[[int], Iterable[set[str]]]
    lengths: np.ndarray
    texts: Callable[[], list[str]]


@dataclass(frozen=True)
class DrawOptions:
    """M entries of the memory, k entries of a document, the seed of the draw, and how partitions are cut: one of
    `PARTITIONS_BY`."""

    num_entries: int
    entries_per_doc: int
    seed: int
    partition_by: str = "size"


@dataclass(frozen=True)
class Drawn:
    """Entries of each unit, and the signatures (units, k) uint64 that they come from where they do."""

    entries: list[np.ndarray]
    signatures: np.ndarray | None = None


Draw = Callable[[Units, DrawOptions], Drawn]
# Entries (k,) uint32 of one unit, by its number alone.
DrawOne = Callable[[int], np.ndarray]


class TooManyDocuments(RequestError):
    """The memory has too few entries for all documents to have some of their own."""


def _no_single_draw(_options: DrawOptions) -> DrawOne | None:
    return None


def _any_numbers(_options: DrawOptions, _units: int | None) -> None:
    return


def _as_chosen(options: DrawOptions, _units: int) -> int:
    return options.entries_per_doc


@dataclass(frozen=True)
class Strategy:
    """One way to give entries to documents.

    `draw` gives entries to all units of a corpus that is in memory. `draw_one` gives the function that draws one unit's
    entries by its number alone, None where the entries depend on more. `shingle_words` are the words a shingle of the
    similarity that the strategy goes by, None where it goes by none. With `follows_text` a unit's entries are those
    of its own MinHash signature (`entries_by_signature`), so that any text has entries. With `gives_all` every document
    has all entries. `overlap_varies` is False where two documents share all entries or none, whatever they are.
    `is_cut` says that the option `partition_by` matters. `check` raises RequestError for numbers that do not fit
    together, that of the units included where it is known; `entries_in_force` is the k that a number of units leads to.
    `library` computes the draw, `in_quickstart` says whether the quickstart trains with it. `version` rises when the
    same options give other entries than before; runs record it.
    """

    what: str
    draw: Draw
    draw_one: Callable[[DrawOptions], DrawOne | None] = _no_single_draw
    shingle_words: int | None = None
    follows_text: bool = False
    gives_all: bool = False
    overlap_varies: bool = True
    is_cut: bool = False
    check: Callable[[DrawOptions, int | None], None] = _any_numbers
    entries_in_force: Callable[[DrawOptions, int], int] = _as_chosen
    library: str = "datasketch"
    in_quickstart: bool = False
    version: int = 1

    @property
    def signed_words(self) -> int | None:
        """Words a shingle of the signatures that entries follow from, None where they follow from none."""
        return self.shingle_words if self.follows_text else None

    def draws_alone(self, options: DrawOptions) -> bool:
        """Whether a document's entries follow without the other documents, as large corpora and appending need it."""
        return self.gives_all or self.follows_text or self.draw_one(options) is not None


def every_entry(units: Units, options: DrawOptions) -> Drawn:
    """All entries for every unit: no structure."""
    return Drawn([np.arange(options.num_entries, dtype=np.uint32)] * len(units.lengths))


def random_entries(units: Units, options: DrawOptions) -> Drawn:
    """`entries_per_doc` entries a unit, without replacement; a unit's draw does not depend on how many follow."""
    draw = random_draw(options)
    return Drawn([draw(unit) for unit in range(len(units.lengths))])


def random_draw(options: DrawOptions) -> DrawOne:
    """The function that draws entries (k,) uint32 of one unit, in ascending order."""

    def draw(unit: int) -> np.ndarray:
        generator = np.random.default_rng([options.seed, unit])
        drawn = generator.choice(options.num_entries, options.entries_per_doc, replace=False)
        return np.sort(drawn).astype(np.uint32)

    return draw


def partitions(units: Units, options: DrawOptions) -> Drawn:
    """Disjoint contiguous blocks, one after the other in the units' order.

    By `size` each has k entries, and what M has more stays unused. By `whole` each has M // units, and fewer than
    `units` entries stay unused. By `length` sizes are proportional to the units' lengths and all M are used up: shares
    are rounded by largest remainder (Hamilton's method), and a unit whose share is below 1 gets 1 at the others' cost.
    """
    count = len(units.lengths)
    if options.partition_by == "length":
        sizes = _proportional(units.lengths, options.num_entries)
    else:
        sizes = np.full(count, partition_size(options, count))
    ends = np.cumsum(sizes)
    return Drawn([np.arange(end - size, end, dtype=np.uint32) for end, size in zip(ends, sizes, strict=True)])


def partition_size(options: DrawOptions, units: int) -> int:
    """Entries of each block; of blocks by length the mean, rounded down."""
    return options.entries_per_doc if options.partition_by == "size" else options.num_entries // units


def partition_draw(options: DrawOptions) -> DrawOne | None:
    """The function that gives block number `unit` by size; blocks cut otherwise depend on how many there are."""
    if options.partition_by != "size":
        return None
    size = options.entries_per_doc
    return lambda unit: np.arange(unit * size, (unit + 1) * size, dtype=np.uint32)


def check_partitions(options: DrawOptions, units: int | None) -> None:
    """Raise TooManyDocuments where the memory has too few entries for a block for each unit."""
    if units is None:
        return
    entries, k = options.num_entries, options.entries_per_doc
    if options.partition_by == "size" and units * k > entries:
        raise TooManyDocuments(
            f"--allocation partitioned: {units} documents or clusters with --entries-per-doc {k} need {units * k} "
            f"entries, and --entries is {entries}: use fewer --num-clusters or --entries-per-doc, more --entries, or "
            "--partition-by whole"
        )
    if units > entries:
        raise TooManyDocuments(
            f"--entries {entries}: partitions of {units} documents or clusters would be smaller than one "
            f"entry; use --entries {units} or more, or fewer --num-clusters"
        )


def _proportional(lengths: np.ndarray, total: int) -> np.ndarray:
    exact = lengths / lengths.sum() * total
    while (exact < 1).any():
        large = exact > 1
        exact = np.where(large, lengths / lengths[large].sum() * (total - (~large).sum()), 1.0)
    sizes = np.floor(exact).astype(int)
    largest_remainders = np.argsort(-(exact - sizes), kind="stable")
    sizes[largest_remainders[: total - sizes.sum()]] += 1
    return sizes


def simset(units: Units, options: DrawOptions, *, shingle_words: int) -> Drawn:
    """One entry from each of k blocks of M / k, chosen by the k values of the unit's MinHash signature.

    Slot j picks entry mix64(signature[j]) mod (M / k) of block j, so two units share a slot with probability
    J + (1 - J) k / M, J being the Jaccard similarity of their word shingles.
    """
    signed = signatures(units.shingle_sets(shingle_words), options.entries_per_doc, options.seed)
    return Drawn(list(entries_by_signature(signed, options.num_entries)), signed)


def check_divisible(options: DrawOptions, _units: int | None = None) -> None:
    """Raise RequestError unless a memory of M entries can be cut into k equal blocks."""
    entries, k = options.num_entries, options.entries_per_doc
    if rest := entries % k:
        raise RequestError(
            f"--entries {entries} is not divisible by --entries-per-doc {k}, as simset needs it to "
            f"be: use {entries - rest} or {entries - rest + k}"
        )


def entries_by_signature(signed: np.ndarray, num_entries: int) -> np.ndarray:
    """Entries (documents, k) uint32 that signatures (documents, k) choose: one of each of k blocks of M / k."""
    slots = signed.shape[1]
    block = np.uint64(num_entries // slots)
    first_of_block = np.arange(slots, dtype=np.uint32) * np.uint32(block)
    entries = np.empty(signed.shape, np.uint32)
    # A few rows at a time stay in a processor's cache, and NumPy divides faster than it takes remainders.
    for start in range(0, len(signed), _TOGETHER):
        mixed = mix64(signed[start : start + _TOGETHER].astype(np.uint64))
        entries[start : start + _TOGETHER] = mixed - mixed // block * block
    return entries + first_of_block


def shuffled(units: Units, options: DrawOptions, *, shingle_words: int) -> Drawn:
    """The entries of `simset`, given to other units: the same overlaps and loads, between units that are not alike.

    A seeded permutation without fixed points says whose entries a unit has. Units are clusters, so that documents of
    one cluster go on sharing theirs. It separates what similarity does from what overlap does.
    """
    drawn = simset(units, options, shingle_words=shingle_words)
    return Drawn([drawn.entries[source] for source in derangement(len(units.lengths), options.seed).tolist()])


def derangement(count: int, seed: int) -> np.ndarray:
    """A permutation (count,) int64 of 0 to count - 1 in which no number stays in its place; all are equally likely."""
    generator = np.random.default_rng([seed, _SHUFFLE])
    places = np.arange(count)
    order = places
    # One permutation in e (2.7) has no fixed point, whatever their length.
    while (order == places).any():
        order = generator.permutation(count)
    return order


def check_shuffled(options: DrawOptions, units: int | None) -> None:
    """Raise RequestError where k does not divide M, and where one unit has no other to take entries from."""
    check_divisible(options)
    if units == 1:
        raise RequestError("--allocation shuffled needs two documents or clusters at least, to exchange their entries")


def tfidf(units: Units, options: DrawOptions) -> Drawn:
    """Entries that the hashes of a unit's most specific terms name, by TF-IDF among the units.

    After sparse memory fine-tuning (arXiv 2510.15103, section 3), which trains the memory slots that a batch reads most
    often compared with other text, ranked by TF-IDF. Slots there are found by learned keys, here by terms.
    """
    terms = specific_terms(units.texts())
    numbers = (options.num_entries, options.entries_per_doc, options.seed)
    return Drawn([entries_of_terms(own, *numbers) for own in terms])


def _shuffled(words: int) -> Strategy:
    return Strategy(
        f"the entries of simset{words}, permuted over the documents",
        partial(shuffled, shingle_words=words),
        shingle_words=words,
        check=check_shuffled,
    )


def _simset(words: int) -> Strategy:
    return Strategy(
        f"by the MinHash signature of word {words}-shingles",
        partial(simset, shingle_words=words),
        shingle_words=words,
        follows_text=True,
        check=check_divisible,
        in_quickstart=words == 2,
    )


STRATEGIES: dict[str, Strategy] = {
    "none": Strategy(
        "every entry for every document", every_entry, gives_all=True, overlap_varies=False, in_quickstart=True
    ),
    "random": Strategy("k entries at random", random_entries, draw_one=random_draw, in_quickstart=True),
    "partitioned": Strategy(
        "disjoint contiguous blocks",
        partitions,
        draw_one=partition_draw,
        overlap_varies=False,
        is_cut=True,
        check=check_partitions,
        entries_in_force=partition_size,
        in_quickstart=True,
        # Version 1 gave M // units entries by `size`, whatever k was, as `whole` does now.
        version=2,
    ),
    "simset1": _simset(1),
    "simset2": _simset(2),
    "simset3": _simset(3),
    "shuffled1": _shuffled(1),
    "shuffled2": _shuffled(2),
    "shuffled3": _shuffled(3),
    "tfidf": Strategy("by hashes of the most specific terms", tfidf, library="scikit-learn"),
}


def find_strategy(name: str) -> Strategy:
    """The strategy of a name. Raises RequestError for an unknown one."""
    if name not in STRATEGIES:
        raise unknown_name("allocation", name, STRATEGIES)
    return STRATEGIES[name]


def strategy_of_allocation(name: str) -> Strategy:
    """The strategy that an allocation was made by; of one that a method drew or learned, only the entries are known."""
    return STRATEGIES.get(name, _OF_A_METHOD)


def _cannot_draw(_units: Units, _options: DrawOptions) -> Drawn:
    raise RequestError("these entries come from a training method: no strategy draws them")


_OF_A_METHOD = Strategy("entries that a method drew or learned", _cannot_draw)
