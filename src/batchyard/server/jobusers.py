"""Whose programs run as jobs just now: while they run, their users may call without keys, as jobs of the owner may."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Iterator

from batchyard.core.machine import Machine
from batchyard.core.records import containers_of
from batchyard.server.engines import PROCESS

LOOK_EVERY_MS = 1000  # a stranger who knocks all the time must not make us walk through all jobs each time


class JobUsers:
    """The uids of live attempts. Only a service of root runs programs as other users; a container may be anybody."""

    def __init__(self, machine: Machine, now_ms: Callable[[], int]) -> None:
        self._machine = machine
        self._now_ms = now_ms
        self._looked_at_ms = -LOOK_EVERY_MS
        self._uids: frozenset[int] = frozenset()

    def uids(self) -> frozenset[int]:
        now_ms = self._now_ms()
        if now_ms - self._looked_at_ms >= LOOK_EVERY_MS:
            self._looked_at_ms = now_ms
            self._uids = frozenset(self._live())
        return self._uids

    def _live(self) -> Iterator[int]:
        world = self._machine.world
        is_root = os.geteuid() == 0
        for key, job in world.jobs.items():
            if job.attempt is None:
                continue
            is_program = job.attempt.engine == PROCESS
            for container in containers_of(world.spec_of(key).task):
                # A name in a container is one of the image's own users: it says nothing about this machine's.
                uid = uid_of(container.user) if is_program else number_of(container.user)
                if uid is not None and (is_root or not is_program):
                    yield uid


def uid_of(user: str) -> int | None:
    """The uid in `user`, `uid`, `user:group` or `uid:gid`; None for a user this machine does not have."""
    number = number_of(user)
    if number is not None:
        return number
    name = user.partition(":")[0]
    try:
        return pwd.getpwnam(name).pw_uid if name else None
    except KeyError:
        return None


def number_of(user: str) -> int | None:
    """The uid in `uid` or `uid:gid`."""
    name = user.partition(":")[0]
    return int(name) if name.isascii() and name.isdigit() else None
