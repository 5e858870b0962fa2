"""The compute environments, and what is known beside their records: budgets, pauses, and what was derived of them."""

from __future__ import annotations

from batchyard.core.capacity.allocation import NoLaunch
from batchyard.core.capacity.catalogue import InstanceType
from batchyard.core.model.records import Environment
from batchyard.core.model.resources import Resources
from batchyard.core.state.placement import Available


class Environments(dict[str, Environment]):
    """Records by name, with the indexes over them. `forget` removes an environment from all of them."""

    __slots__ = ("budgets", "entries", "gathering", "paused", "refused")

    def __init__(self) -> None:
        super().__init__()
        self.budgets: dict[str, Available] = {}  # environment without instances of its own -> what maxvCpus leaves
        self.paused: dict[str, tuple[int, str]] = {}  # environment -> until when it launches nothing, and why
        self.entries: dict[str, tuple[tuple[str, ...], tuple[tuple[InstanceType, ...], ...]]] = {}  # fleet.entries_of
        # fleet.never_holds by environment and amount, gang_capacity.never_gathers by environment and nodes
        self.refused: dict[tuple[str, Resources | tuple[Resources, ...]], NoLaunch | None] = {}
        # Those where all that a multi-node job lacks was being launched in the last pass: what is idle there stays.
        self.gathering: set[str] = set()

    def forget(self, environment: str) -> None:
        """Removes an environment in which nothing is left, and everything that is known of it."""
        del self[environment]
        self.budgets.pop(environment, None)
        self.paused.pop(environment, None)
        self.entries.pop(environment, None)
        self.gathering.discard(environment)
        self.refused.clear()
