"""What the nodes of a multi-node job's attempt know of each other."""

from __future__ import annotations

from msgspec import Struct


class Gang(Struct, frozen=True):
    """All nodes of one attempt, which are placed together or not at all. `addresses` and `slots` (vCPUs, at least 1):
    one for each node, in their order."""

    main_node: int
    addresses: tuple[str, ...]
    slots: tuple[int, ...]
