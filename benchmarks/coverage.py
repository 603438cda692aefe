"""How often intervals hold the truth, and tests call equal settings different: by simulation.

python benchmarks/coverage.py --repeats 1000
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from simset_bench.results.differences import difference_of
from simset_bench.results.evidence import Evidence
from simset_bench.results.scores import Score, interval

DOCUMENTS = (2, 3, 6, 10, 50)
SEEDS = (1, 2, 3, 5)
# Standard deviation of what a seed does to a whole run, over that of what tells documents apart.
SEED_EFFECTS = (0.0, 0.3, 1.0)
_HIT = 0.8


@dataclass(frozen=True)
class Cell:
    """One cell of the simulation: two rows of equal settings on the same documents, with the same seeds.

    Where `nested`, each seed has `documents` of its own, the same in both rows."""

    kind: str
    documents: int
    seeds: int
    seed_effect: float
    nested: bool = False


@dataclass(frozen=True)
class Reached:
    """Shares of repeats: intervals of scores and of differences that hold the truth, and pairs whose settings, which
    are equal, are called different; with the median width of a score's interval. Not-a-number where none was given."""

    coverage: float
    difference_coverage: float
    false_positives: float
    width: float


def _normal(effects: np.ndarray, seed: np.ndarray) -> tuple[Score, float]:
    return _scored("nll_rise", effects + seed), float(seed.mean())


def _lognormal(effects: np.ndarray, seed: np.ndarray) -> tuple[Score, float]:
    """Documents as skewed as NLLs of a few hard ones: the logarithm has a standard deviation of 1."""
    factor = np.exp(seed)
    return _scored("nll", np.exp(effects / np.sqrt(1.25)) * factor), float(np.exp(0.5) * factor.mean())


def _binary(effects: np.ndarray, seed: np.ndarray) -> tuple[Score, float]:
    """Each document is a hit where its latent value is below a threshold."""
    spread = np.sqrt(1.25)
    hits = (effects + seed < stats.norm.ppf(_HIT) * spread).astype(float)
    return _scored("exact_match", hits), float(stats.norm.cdf(stats.norm.ppf(_HIT) - seed / spread).mean())


def _ratio(effects: np.ndarray, seed: np.ndarray) -> tuple[Score, float]:
    """A ratio of means: own rises over others', both gamma of shape 4 and alike in part."""
    ranks = stats.norm.cdf(effects / np.sqrt(1.25))
    own = stats.gamma.ppf(ranks, 4) * np.exp(seed)
    others = np.broadcast_to(stats.gamma.ppf(1 - ranks[0], 4) / 10, own.shape)
    totals = np.stack([own, others])
    evidence = Evidence(_names(own.shape[1]), totals, np.ones_like(totals), "ratio")
    return _of(evidence, "specificity"), 10 * float(np.exp(seed).mean())


KINDS: dict[str, Callable[[np.ndarray, np.ndarray], tuple[Score, float]]] = {
    "normal": _normal,
    "lognormal": _lognormal,
    "binary": _binary,
    "ratio": _ratio,
}


def _names(count: int) -> tuple[str, ...]:
    return tuple(f"d{number}" for number in range(count))


def _scored(measure: str, values: np.ndarray) -> Score:
    """The score of values (seeds, documents), each of weight 1."""
    return _of(Evidence(_names(values.shape[1]), values[None], np.ones_like(values)[None]), measure)


def _of(evidence: Evidence, measure: str) -> Score:
    seeds = tuple(f"seed {number}" for number in range(len(evidence.by_seed)))
    values = tuple(float(value) for value in evidence.by_seed)
    return Score(measure, values, None, seeds=seeds, documents=len(evidence.documents), evidence=evidence)


def _own_documents(score: Score) -> Score:
    """The score where each seed's documents are its own."""
    evidence = score.evidence
    assert evidence is not None
    seeds, documents = evidence.totals.shape[1:]
    totals, weights = np.zeros((2, len(evidence.totals), seeds, seeds * documents))
    for seed in range(seeds):
        at = slice(seed * documents, (seed + 1) * documents)
        totals[:, seed, at], weights[:, seed, at] = evidence.totals[:, seed], evidence.weights[:, seed]
    apart = Evidence(_names(seeds * documents), totals, weights, evidence.form)
    return replace(score, documents=seeds * documents, evidence=apart)


def simulate(cell: Cell, repeats: int, seed: int = 0) -> Reached:
    """Shares over `repeats` experiments.

    A value is what its document is for every run, what it is for this setting, and what it is for this seed too (1, 0.4
    and 0.3 standard deviations; 1.25 is the sum of squares), beside what the seed does to the whole run. With one seed
    the truth is that of the run, since nothing tells how another would do, and no claim is made about settings.
    """
    generator = np.random.default_rng([seed, cell.documents, cell.seeds, int(10 * cell.seed_effect), len(cell.kind)])
    make, drawn = KINDS[cell.kind], cell.seeds if cell.nested else 1
    held, difference_held, false, widths = [], [], [], []
    for _ in range(repeats):
        hardness = generator.normal(0, 1, (drawn, cell.documents))
        rows = []
        for _row in range(2):
            own = generator.normal(0, 0.4, (drawn, cell.documents))
            luck = generator.normal(0, 0.3, (cell.seeds, cell.documents))
            lucky_seed = cell.seed_effect * generator.normal(0, 1, (cell.seeds, 1))
            rows.append(make(hardness + own + luck, lucky_seed))
        (first, of_run), (second, of_other) = rows
        if cell.nested:
            first, second = _own_documents(first), _own_documents(second)
        truth, apart = (of_run, of_run - of_other) if cell.seeds == 1 else (_truth(cell), 0.0)
        limits = interval(first)
        if limits is not None:
            held.append(limits[0] <= truth <= limits[1])
            widths.append(limits[1] - limits[0])
        found = difference_of(first, second)
        if found.low is not None and found.high is not None:
            difference_held.append(found.low <= apart <= found.high)
        false.append(found.told_apart and found.about_settings)
    shares = [float(np.mean(each)) if each else np.nan for each in (held, difference_held, false)]
    return Reached(*shares, width=float(np.median(widths)) if widths else np.nan)


def _truth(cell: Cell) -> float:
    """The mean over all documents and seeds."""
    variance = cell.seed_effect**2
    if cell.kind == "normal":
        return 0.0
    if cell.kind == "binary":
        return float(stats.norm.cdf(stats.norm.ppf(_HIT) * np.sqrt(1.25) / np.sqrt(1.25 + variance)))
    return float(np.exp(variance / 2) * (np.exp(0.5) if cell.kind == "lognormal" else 10))


def cells(seed_effects: tuple[float, ...] = SEED_EFFECTS, nested: bool = False) -> Iterator[Cell]:
    for kind in KINDS:
        for effect in seed_effects:
            for documents in DOCUMENTS:
                for seeds in SEEDS:
                    yield Cell(kind, documents, seeds, effect, nested)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--kind", choices=sorted(KINDS))
    parser.add_argument("--nested", action="store_true", help="each seed has documents of its own")
    chosen = parser.parse_args()
    heads = ["values", "seed effect", "documents", "seeds", "score's interval holds", "difference's", "false positives"]
    print(f"| {' | '.join(heads)} |\n| {' | '.join(['---'] * len(heads))} |")
    for cell in cells(nested=chosen.nested):
        if chosen.kind in (None, cell.kind):
            reached = simulate(cell, chosen.repeats)
            shares = [reached.coverage, reached.difference_coverage, reached.false_positives]
            text = ["–" if np.isnan(share) else f"{share:.3f}" for share in shares]
            about = [cell.kind, f"{cell.seed_effect:g}", str(cell.documents), str(cell.seeds)]
            print(f"| {' | '.join([*about, *text])} |", flush=True)


if __name__ == "__main__":
    main()
