"""targetNodes: which nodes of a multi-node job a node range is for (AWS Batch behaviour 8.1, 14)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

from batchyard.core.model.records import Ranges
from batchyard.core.model.refusal import Refused

TARGET_NODES = re.compile(r"[0-9]+|[0-9]*:[0-9]*")


class Target(Struct, frozen=True):
    """A parsed targetNodes: the nodes first..last, both included; `last` is None where the range is open (`n:`)."""

    first: int
    last: int | None

    def nodes(self, count: int) -> range:
        return range(self.first, count if self.last is None else min(self.last + 1, count))


def parse_target(text: str) -> Target:
    """Parses `n`, `n:m`, `n:`, `:m` or `:`."""
    if not TARGET_NODES.fullmatch(text):
        raise Refused("targetNodes should contain only digits.")
    first, colon, last = text.partition(":")
    start = _index(first) if first else 0
    if not colon:
        return Target(start, start)
    return Target(start, _index(last) if last else None)


def _index(digits: str) -> int:
    """Parses a node index. A text with more digits than any index has is just too large, and is not converted."""
    return int(digits.lstrip("0")[:9] or "0")


def nodes_of_each(targets: Sequence[Target], count: int) -> list[Ranges]:
    """Returns the nodes that each range is for, where some overlap: of nested ranges the inner one has a node, of
    others the later one."""
    owners: list[int | None] = []
    for node in range(count):
        owner: int | None = None
        for at, target in enumerate(targets):
            if node in target.nodes(count) and (owner is None or not _contains(target, targets[owner], count)):
                owner = at
        owners.append(owner)
    return [_ranges_of([node for node in range(count) if owners[node] == at]) for at in range(len(targets))]


def _contains(outer: Target, inner: Target, count: int) -> bool:
    """Whether a range holds all nodes of another, and more."""
    around, within = outer.nodes(count), inner.nodes(count)
    return around.start <= within.start and within.stop <= around.stop and len(around) > len(within)


def _ranges_of(nodes: Sequence[int]) -> Ranges:
    found: list[tuple[int, int]] = []
    for node in nodes:
        if found and found[-1][1] == node:
            found[-1] = (found[-1][0], node + 1)
        else:
            found.append((node, node + 1))
    return tuple(found)
