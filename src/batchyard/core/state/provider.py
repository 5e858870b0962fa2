"""Capacity providers: where instances and places for attempts come from. This host is one of them."""

from __future__ import annotations

from msgspec import Struct

from batchyard.core.model.records import Instance
from batchyard.core.model.resources import Resources
from batchyard.core.state.placement import Available


class Provider(Struct, frozen=True):
    """A source of capacity that environments name.

    `machine`: what it has, as an instance; it runs the attempts of environments without instances of their own.
    `ledger`: what is left of it, for attempts on it and for instances that reserve a share of it."""

    name: str
    machine: Instance
    ledger: Available

    @property
    def total(self) -> Resources:
        return self.machine.resources
