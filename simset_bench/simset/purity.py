"""How clusters agree with families that are known: those of invented people."""

from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc

from simset_bench.corpora.load import split_spec
from simset_bench.corpora.people.options import parse_people
from simset_bench.simset.lookup import Lookup
from simset_bench.simset.store import read_rows

_PERSON = r"^person-(?P<seed>\d+)-(?P<number>\d+)(?:\D|$)"
_SEED = 0


@dataclass(frozen=True)
class Purity:
    """Agreement of clusters with families, in [0, 1], and that of the same clusters with the documents permuted.

    `purity` is the share of documents whose family is the commonest of their cluster (Zhao and Karypis 2001, "Criterion
    functions for document clustering"); it is 1 where each document is a cluster of its own. `inverse_purity` is the
    share of documents whose cluster is the commonest of their family; it is 1 where all documents are one cluster.
    """

    families: int
    purity: float
    purity_by_chance: float
    inverse_purity: float
    inverse_purity_by_chance: float


def purity_of(clusters: np.ndarray, families: np.ndarray) -> Purity:
    """Agreement of clusters (documents,) with families (documents,), both numbered from 0."""
    permuted = np.random.default_rng(_SEED).permutation(clusters)
    return Purity(
        len(np.unique(families)),
        _in_the_commonest(clusters, families),
        _in_the_commonest(permuted, families),
        _in_the_commonest(families, clusters),
        _in_the_commonest(families, permuted),
    )


def _in_the_commonest(groups: np.ndarray, kinds: np.ndarray) -> float:
    """The share of documents that are of the commonest kind of their group."""
    pairs, counts = np.unique(np.stack([groups, kinds]).astype(np.int64), axis=1, return_counts=True)
    most = np.zeros(int(groups.max()) + 1, np.int64)
    np.maximum.at(most, pairs[0], counts)
    return float(most.sum() / len(groups))


def families_of(lookup: Lookup) -> np.ndarray | None:
    """The families (documents,) int64 of an allocation's documents, numbered from 0.

    None where a document is no person of a `people:` corpus, or where families of two corpora are of two sizes.
    """
    corpora = [split_spec(corpus["corpus"]) for corpus in (lookup.manifest.corpus, *lookup.manifest.appended)]
    if {kind for kind, _ in corpora} != {"people"}:
        return None
    sizes = {parse_people(location).family for _, location in corpora}
    if len(sizes) > 1:
        return None
    size, parts = sizes.pop(), []
    for rows in read_rows(lookup.path, ("document",)):
        people = pc.extract_regex(rows.ids, _PERSON)
        if people.null_count:
            return None
        seed, number = (pc.struct_field(people, name).cast("int64").to_numpy() for name in ("seed", "number"))
        parts.append(np.stack([seed, number // size]))
    return np.unique(np.concatenate(parts, axis=1), axis=1, return_inverse=True)[1].reshape(-1)
