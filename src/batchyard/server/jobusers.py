"""Whose programs run as jobs just now: while they run, their users may call without keys, as jobs of the owner may."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable

from batchyard.core.machine import Machine

LOOK_EVERY_MS = 1000  # a stranger who knocks all the time must not make us walk through all jobs each time


class JobUsers:
    """The uids of live attempts. Only a service of root can run jobs as other users."""

    def __init__(self, machine: Machine, now_ms: Callable[[], int]) -> None:
        self._machine = machine
        self._now_ms = now_ms
        self._looked_at_ms = -LOOK_EVERY_MS
        self._uids: frozenset[int] = frozenset()

    def uids(self) -> frozenset[int]:
        if os.geteuid() != 0:
            return frozenset()
        now_ms = self._now_ms()
        if now_ms - self._looked_at_ms >= LOOK_EVERY_MS:
            self._looked_at_ms = now_ms
            world = self._machine.world
            users = {world.spec_of(key).task.user for key, job in world.jobs.items() if job.attempt is not None}
            self._uids = frozenset(uid for user in users if (uid := uid_of(user)) is not None)
        return self._uids


def uid_of(user: str) -> int | None:
    """The uid in `user`, `uid`, `user:group` or `uid:gid`; None for a user this machine does not have."""
    name = user.partition(":")[0]
    if name.isascii() and name.isdigit():
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid if name else None
    except KeyError:
        return None
