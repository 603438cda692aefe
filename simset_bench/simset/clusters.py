"""Which documents are merged into clusters that share entries, and by what."""

from dataclasses import dataclass

import numpy as np

from simset_bench.errors import RequestError, unknown_name

LINKAGE, TOPIC = "linkage", "topic"
CLUSTER_BY = (LINKAGE, TOPIC)
# Single linkage compares pairs: of more documents it is the default only where most of them stay alone.
MOST_BY_LINKAGE = 20_000
_TOPIC_DOCUMENTS = 10


@dataclass(frozen=True)
class Clusters:
    """`labels` (documents,) uint32 number the clusters from 0, in the order of their first documents.

    `merge_similarity` in [0, 1] is the similarity of the last pair of documents that single linkage merged, None where
    it merged none.
    """

    labels: np.ndarray
    merge_similarity: float | None

    @property
    def count(self) -> int:
        """The number of clusters."""
        return int(self.labels.max()) + 1


@dataclass(frozen=True)
class Clustering:
    """How documents are merged. Without `num_clusters` and `min_similarity` each is a cluster of its own.

    `by` linkage merges the most similar pairs until `num_clusters` remain, or with `min_similarity` in (0, 1] all pairs
    of at least that similarity; `by` topic makes `num_clusters` groups of kindred documents. None leaves it to the
    number of documents (`method`). With both numbers `num_clusters` is what `min_similarity` led to earlier.
    """

    num_clusters: int | None = None
    min_similarity: float | None = None
    by: str | None = None

    def check(self) -> None:
        """Raise RequestError for options out of range, and for those that do not fit together."""
        if self.by is not None and self.by not in CLUSTER_BY:
            raise unknown_name("--cluster-by", self.by, CLUSTER_BY)
        similarity = self.min_similarity
        if similarity is not None and not 0 < similarity <= 1:
            raise RequestError(f"--min-similarity {similarity}: must be above 0 and at most 1")
        if similarity is not None and self.by == TOPIC:
            raise RequestError(
                f"--min-similarity {similarity} cannot be combined with --cluster-by topic, which makes --num-clusters "
                "groups however similar their documents are"
            )
        if self.by == TOPIC and self.num_clusters is None:
            raise RequestError("--cluster-by topic needs --num-clusters, the number of groups")

    def check_asked(self) -> None:
        """`check`, and raise RequestError for a number of clusters beside the similarity that it would follow from."""
        self.check()
        if self.num_clusters is not None and self.min_similarity is not None:
            raise RequestError(
                f"--num-clusters {self.num_clusters} cannot be combined with --min-similarity {self.min_similarity}, "
                "which the number of clusters follows from"
            )

    def merges(self, documents: int) -> bool:
        """Whether any of so many documents may be merged."""
        return self.min_similarity is not None or self.num_clusters not in (None, documents)

    def units(self, documents: int | None) -> int | None:
        """How many clusters there will be of so many documents, None where that is not known yet."""
        if self.num_clusters is None and self.min_similarity is not None:
            return None
        return documents if self.num_clusters is None else self.num_clusters

    def chosen_method(self, documents: int) -> str | None:
        """`method`, or None where nothing is merged and where it is linkage without being chosen."""
        unchosen = Clustering(self.num_clusters, self.min_similarity).method(documents)
        method = self.method(documents) if self.merges(documents) else LINKAGE
        return None if method == unchosen == LINKAGE or not self.merges(documents) else method

    def recorded_method(self, documents: int) -> str | None:
        """TOPIC where clusters are made by it, None for single linkage and where nothing is merged."""
        return TOPIC if self.merges(documents) and self.method(documents) == TOPIC else None

    def method(self, documents: int) -> str:
        """LINKAGE or TOPIC. Unless `by` says so it is topic for more than `MOST_BY_LINKAGE` documents, ten or more a
        cluster."""
        if self.by is not None:
            return self.by
        many = documents > MOST_BY_LINKAGE and self.min_similarity is None
        return TOPIC if many and (self.num_clusters or documents) * _TOPIC_DOCUMENTS <= documents else LINKAGE


def check_num_clusters(num_clusters: int, documents: int) -> None:
    """Raise RequestError unless `num_clusters` is from 1 to `documents`."""
    if num_clusters < 1:
        raise RequestError(f"--num-clusters {num_clusters}: must be at least 1")
    if num_clusters > documents:
        raise RequestError(
            f"--num-clusters {num_clusters}: more clusters than documents, of which there are {documents} (--num-docs)"
        )
