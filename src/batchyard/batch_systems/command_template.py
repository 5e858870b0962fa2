"""Commands as data: words with places for values."""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct

PLACE = re.compile(r"\{(\w+)\}")


class CommandTemplate(Struct, frozen=True):
    """A program and groups of words. A word may have places, `{name}`, that take values. A group is left out where a
    value of one of its places is empty or 0: so that a template has an option for everything that a site may want."""

    program: str
    groups: tuple[tuple[str, ...], ...] = ()

    @property
    def places(self) -> frozenset[str]:
        """Returns the names of all values that it takes."""
        return frozenset(name for group in self.groups for word in group for name in PLACE.findall(word))

    def words(self, values: Mapping[str, str | int]) -> list[str]:
        """Returns the command. It is executed without a shell, so that no value needs quotes."""
        found = [self.program]
        for group in self.groups:
            if all(values[name] for word in group for name in PLACE.findall(word)):
                found += [PLACE.sub(lambda place: str(values[place[1]]), word) for word in group]
        return found
