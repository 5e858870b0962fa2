"""The inner side of a server, put together from its parts: machines, engines, launches and the loop that hosts them."""

from __future__ import annotations

import random
import time

from msgspec import Struct

from batchyard.core.machine import Machine
from batchyard.core.model.facts import JobQueueBlocked
from batchyard.core.model.names import Account
from batchyard.core.model.records import HOST_PROVIDER
from batchyard.engines.base import Capacity
from batchyard.engines.host import HostCapacity
from batchyard.loop import Loop
from batchyard.server.access.metadata_tokens import Tokens
from batchyard.server.access.sessions import LiveRoles, Sessions
from batchyard.server.admin import messages
from batchyard.server.engines.choice import DOCKER, wants_docker
from batchyard.server.engines.runtime import EngineSet
from batchyard.server.http.job_listener import JobListener
from batchyard.server.launch.cipher import KeyFileCipher
from batchyard.server.launch.launch_builder import LaunchBuilder
from batchyard.server.launch.secret_resolver import Resolver
from batchyard.server.parts import Parts
from batchyard.server.settings.config import Settings
from batchyard.server.settings.image_names import ImageNames
from batchyard.server.stored_facts import StoredFacts
from batchyard.server.stored_machines import load_machines


class Assembly(Struct, frozen=True):
    """What runs jobs. `is_new`: nothing was ever committed in this data directory. `job_listener`: for containers on
    networks of their own; None: there is no Docker."""

    machine: Machine
    loop: Loop
    engines: EngineSet
    facts: StoredFacts
    sessions: Sessions
    tokens: Tokens
    cipher: KeyFileCipher
    job_listener: JobListener | None
    is_new: bool


def assemble(parts: Parts) -> Assembly:
    """Loads the machines from the store and connects them with engines and capacities; starts nothing yet. StoreError:
    the database is damaged."""
    settings = parts.settings
    account = Account(settings.account_id, settings.region)
    stored = load_machines(
        settings, parts.catalogue, parts.prices, parts.store, parts.writer, parts.clock, wall_clock_ms()
    )
    machine, tokens = stored.machine, Tokens(parts.secret)
    s3_keys = parts.s3.keys if parts.s3 is not None and settings.job_credentials else None
    sessions = Sessions(parts.secret, account, LiveRoles(machine, account), wall_clock_ms, s3_keys)
    cipher = KeyFileCipher(settings.secrets_key_file, parts.paths.data_dir)
    has_docker = wants_docker(settings, machine.world.environments.values())
    job_listener = JobListener(parts.paths.state_dir) if has_docker else None
    build_launch = LaunchBuilder(
        parts.address,
        settings.region,
        settings.job_env,
        tokens.token,
        sessions.variables if settings.job_credentials else lambda address, attempt_id: (),
        resolver=Resolver(machine.world, cipher),
        pulling=[DOCKER],
        s3=parts.s3,
        own_address=sessions.address,
        bridge_address=job_listener.address if job_listener is not None else "",
        images=ImageNames(settings.images),
    )
    loop = Loop(
        [machine, stored.timers],
        parts.writer,
        parts.engines,
        parts.clock,
        build_launch,
        capacities=_capacities(settings),
        listeners={JobQueueBlocked: messages.blocked},
        delivery=stored.delivery,
    )
    engines = EngineSet(settings, parts.paths, parts.engines, machine, job_listener)
    return Assembly(machine, loop, engines, stored.facts, sessions, tokens, cipher, job_listener, stored.is_new)


def _capacities(settings: Settings) -> dict[str, Capacity]:
    """Returns the capacity providers by name: this host."""
    host = HostCapacity(
        settings.boot_seconds,
        settings.spot_interruptions_per_hour,
        settings.spot_notice_seconds,
        random.expovariate,
    )
    return {HOST_PROVIDER: host}


def wall_clock_ms() -> int:
    """Returns the time of day of this machine, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000
