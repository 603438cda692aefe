"""Merges documents into clusters by the method that was asked for."""

from pathlib import Path

import numpy as np

from simset_bench.console import note_once
from simset_bench.errors import RequestError
from simset_bench.simset.clusters import MOST_BY_LINKAGE, TOPIC, Clustering, Clusters, check_num_clusters
from simset_bench.simset.components import similar_components
from simset_bench.simset.linkage import single_linkage


def merge(compared: np.ndarray, clustering: Clustering, seed: int, kept: Path | None = None) -> Clusters:
    """The clusters of documents, some of which may be merged.

    compared: (documents, hashes) MinHash signatures, or for `TOPIC` the vectors of `topics.topic_vectors`. `seed` is
    the allocation's; `kept` is a folder for unfinished work. Raises RequestError where there are fewer documents than
    `num_clusters`, or where `min_similarity` leads to another number.
    """
    documents = len(compared)
    if clustering.num_clusters is not None:
        check_num_clusters(clustering.num_clusters, documents)
    if clustering.min_similarity is not None:
        clusters = similar_components(compared, clustering.min_similarity)
        _check_outcome(clustering, clusters.count)
        return clusters
    assert clustering.num_clusters is not None
    if clustering.method(documents) == TOPIC:
        # Imported here, since scikit-learn takes a second.
        from simset_bench.simset.topics import topics

        if clustering.by is None:
            note_once(f"clusters by topic: more than {MOST_BY_LINKAGE:,} documents (--cluster-by linkage merges pairs)")
        return topics(compared, clustering.num_clusters, seed)
    return single_linkage(compared, clustering.num_clusters, kept)


def _check_outcome(clustering: Clustering, count: int) -> None:
    if clustering.num_clusters not in (None, count):
        raise RequestError(
            f"num_clusters {clustering.num_clusters}: min_similarity {clustering.min_similarity} leads to {count} "
            "clusters; leave num_clusters out"
        )
