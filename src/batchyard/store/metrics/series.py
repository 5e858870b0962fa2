"""Series: what samples are of."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NamedTuple

from batchyard.evaluators.metrics.samples import Samples

Dimensions = tuple[tuple[str, str], ...]


class Series(NamedTuple):
    """A metric with one exact set of dimensions, in one unit. `dimensions`: by name."""

    namespace: str
    name: str
    dimensions: Dimensions = ()
    unit: str = "None"


class StoredSeries(NamedTuple):
    """`last_s`: when it got samples last, to within LAST_SEEN_SECONDS."""

    id: int
    series: Series
    last_s: int


class Datum(NamedTuple):
    """The samples of one period of a series. `resolution_s`: 60, or 1 for data of less than a minute."""

    series: Series
    at_s: int
    samples: Samples
    resolution_s: int = 60


def dimensions_of(pairs: Iterable[tuple[str, str]]) -> Dimensions:
    return tuple(sorted(pairs))


def dimensions_text(dimensions: Dimensions) -> str:
    """Returns dimensions as the store has them: the same text for the same dimensions."""
    return json.dumps(dimensions, separators=(",", ":"))


def dimensions_in(text: str) -> Dimensions:
    return tuple((name, value) for name, value in json.loads(text))
