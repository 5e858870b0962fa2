"""The clusters of texts for `pattern`: tokens that differ from text to text become `<*>` (a small Drain)."""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_TOKENS = 60  # of a text that are looked at
MAX_CLUSTERS = 100  # with one number of tokens and one first token; further texts go to the most similar
MAX_ALL_CLUSTERS = 5000
MIN_SIMILARITY = 0.6  # of tokens that two texts of one cluster have in common
VARIABLE = "<*>"
HAS_DIGIT = re.compile(r"\d")
SEVERITY = re.compile(r"\b(FATAL|CRITICAL|ERROR|WARN|INFO|DEBUG|TRACE)", re.IGNORECASE)


class Cluster:
    """Texts of one cluster, and one of them as a sample."""

    __slots__ = ("count", "sample", "tokens")

    def __init__(self, tokens: list[str], sample: str) -> None:
        self.tokens = tokens
        self.sample = sample
        self.count = 0


class MessagePattern(NamedTuple):
    pattern: str
    samples: int
    ratio: float
    severity: str


class Clusters:
    """All clusters of the texts that came in."""

    def __init__(self) -> None:
        self._clusters: dict[tuple[int, str], list[Cluster]] = {}
        self._total = 0
        self._number = 0

    def add(self, text: str) -> None:
        tokens = [VARIABLE if HAS_DIGIT.search(token) else token for token in text.split(None, MAX_TOKENS)]
        self._total += 1
        cluster = self._cluster_of(tokens, text)
        cluster.count += 1
        for at, token in enumerate(cluster.tokens):
            if token != tokens[at]:
                cluster.tokens[at] = VARIABLE

    def _cluster_of(self, tokens: list[str], text: str) -> Cluster:
        bucket = (len(tokens), tokens[0] if tokens else "")
        if self._number >= MAX_ALL_CLUSTERS and bucket not in self._clusters:
            tokens[:1] = [VARIABLE]  # too many different beginnings: the first token says nothing
            bucket = (len(tokens), VARIABLE)
        clusters = self._clusters.setdefault(bucket, [])
        best, most = None, -1
        for cluster in clusters:
            common = sum(one == other for one, other in zip(cluster.tokens, tokens, strict=True))
            if common > most:
                best, most = cluster, common
        if best is not None and (most >= MIN_SIMILARITY * len(tokens) or len(clusters) >= MAX_CLUSTERS):
            return best
        cluster = Cluster(list(tokens), text)
        clusters.append(cluster)
        self._number += 1
        return cluster

    def rows(self) -> list[MessagePattern]:
        """Returns the clusters, the most frequent first."""
        every = [cluster for clusters in self._clusters.values() for cluster in clusters]
        every.sort(key=lambda cluster: -cluster.count)
        return [
            MessagePattern(
                " ".join(cluster.tokens), cluster.count, cluster.count / self._total, severity_of(cluster.sample)
            )
            for cluster in every
        ]


def severity_of(text: str) -> str:
    found = SEVERITY.search(text)
    return found[1].upper() if found else ""
