"""The tasks that job definitions give to jobs which override nothing of them: built once, and the same for all."""

from __future__ import annotations

from msgspec import Struct

from batchyard.core.model.records import Definition, NodeGroup

MAX_KEPT = 1000  # one more takes the place of the oldest: so many definitions are rarely in use at a time


class BuiltDefinition(Struct, frozen=True):
    """`definition`: the record that it was built from; another version of it is built anew."""

    definition: Definition
    parameters: dict[str, str]
    groups: list[NodeGroup]


class BuiltDefinitions:
    """By definition, revision and working directory."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[tuple[str, int, str], BuiltDefinition] = {}

    def __len__(self) -> int:
        return len(self._known)

    def get(self, definition: Definition, working_directory: str) -> BuiltDefinition | None:
        found = self._known.get((definition.name, definition.revision, working_directory))
        return found if found is not None and found.definition is definition else None

    def keep(self, working_directory: str, built: BuiltDefinition) -> None:
        definition = built.definition
        self._known[definition.name, definition.revision, working_directory] = built
        if len(self._known) > MAX_KEPT:
            del self._known[next(iter(self._known))]
