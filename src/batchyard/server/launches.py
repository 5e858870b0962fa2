"""Makes the builder of launches from the parts of a server."""

from __future__ import annotations

from batchyard.core.machine import Machine
from batchyard.engines.remote.engine import REMOTE
from batchyard.engines.remote.messages import HOST_ADDRESS
from batchyard.server.access.identity import Identity
from batchyard.server.engines.choice import DOCKER
from batchyard.server.http.job_listener import JobListener
from batchyard.server.launch.cipher import KeyFileCipher
from batchyard.server.launch.launch_builder import LaunchBuilder
from batchyard.server.launch.secret_resolver import Resolver
from batchyard.server.parts import Parts
from batchyard.server.settings.image_names import ImageNames
from batchyard.server.settings.offered_gpus import OfferedGpus


def make_launch_builder(
    parts: Parts,
    machine: Machine,
    identity: Identity,
    cipher: KeyFileCipher,
    job_listener: JobListener | None,
    gpus: OfferedGpus,
) -> LaunchBuilder:
    """Makes the builder. `job_listener`: for containers on networks of their own; None: there is no Docker.
    `gpus`: those of this machine."""
    settings, sessions = parts.settings, identity.sessions
    return LaunchBuilder(
        parts.local_address,
        settings.region,
        settings.job_env,
        identity.tokens.token,
        sessions.variables if settings.job_credentials else lambda address, attempt_id: (),
        resolver=Resolver(machine.world, cipher),
        pulling=[DOCKER],
        s3=parts.s3,
        own_address=sessions.address,
        bridge_address=job_listener.address if job_listener is not None else "",
        images=ImageNames(settings.images),
        gpus=gpus,
        addresses={REMOTE: HOST_ADDRESS},
    )
