"""Makes the context of operations from the parts of a running server."""

from __future__ import annotations

import hashlib
import platform
import socket
import uuid
from collections.abc import Callable
from importlib.util import find_spec

from msgspec import Struct

from batchyard.api.context import (
    Ask,
    Context,
    Forecaster,
    HostAccess,
    MetricAccess,
    Notifications,
    SecretCipher,
    ServiceControl,
)
from batchyard.api.context import Settings as ApiSettings
from batchyard.api.readers import Readers
from batchyard.api.states.waiters import Waiters
from batchyard.core.capacity.catalogue import ARM64, X86_64
from batchyard.core.model.names import Account
from batchyard.core.model.resources import MILLI_PER_VCPU
from batchyard.observe.log_filters import LogFilters
from batchyard.server.settings.catalogue_file import load_catalogue
from batchyard.server.settings.config import Settings
from batchyard.server.settings.host import Detected
from batchyard.server.settings.paths import Paths
from batchyard.store.logs.log_reader import LogReader
from batchyard.store.logs.log_writer import LogWriter
from batchyard.store.queries import Reader

INSTANCE_HEX = 17  # as EC2's instance ids have
ARM_MACHINES = ("aarch64", "arm64")  # as platform.machine() names them


class State(Struct, frozen=True):
    """How operations reach the state: `ask` hands commands to the loop, `reader` queries the store, in `readers`;
    `log_writer` and `log_reader` are for log events that are no output of jobs; `metrics` has
    the series of metrics; `waiters`: callers who wait for executions of Step Functions."""

    ask: Ask
    reader: Reader
    log_writer: LogWriter
    log_reader: LogReader
    readers: Readers
    metrics: MetricAccess
    waiters: Waiters


class EngineNames(Struct, frozen=True):
    """The default engine of environments that callers create, and the names of all engines."""

    default: str
    all: tuple[str, ...]


class Secrets(Struct, frozen=True):
    """`cipher` encrypts the values of secrets; `page_key` is for the proofs in page tokens; `key_name`: returns the
    owner of an access key."""

    cipher: SecretCipher
    page_key: bytes
    key_name: Callable[[str], str]


def context_of(
    settings: Settings,
    paths: Paths,
    host: Detected,
    *,
    state: State,
    engines: EngineNames,
    secrets: Secrets,
    control: ServiceControl,
    forecaster: Forecaster,
    hosts: HostAccess | None = None,
) -> Context:
    """Returns the context of operations."""
    return Context(
        account=Account(settings.account_id, settings.region),
        ask=state.ask,
        reader=state.reader,
        new_uuid=lambda: str(uuid.uuid4()),
        logs_directory=paths.logs_dir,
        cipher=secrets.cipher,
        log_writer=state.log_writer,
        log_reader=state.log_reader,
        waiters=state.waiters,
        log_filters=LogFilters(settings.account_id),
        host_vcpus=host.resources.milli_vcpus // MILLI_PER_VCPU,
        host_address=host.address,
        host_name=socket.gethostname(),
        gpus=host.gpus.gpus,
        architecture=ARM64 if platform.machine() in ARM_MACHINES else X86_64,
        catalogue=load_catalogue(),
        key_name=secrets.key_name,
        settings=ApiSettings(
            engine=engines.default,
            engines=engines.all,
            min_timeout_seconds=settings.min_timeout_seconds,
            max_array_size=settings.max_array_size,
            max_job_kib=settings.max_job_kib,
            accepts_unknown_integrations=settings.accept_unknown_integrations,
            has_s3=settings.s3_endpoint is not None,
        ),
        readers=state.readers,
        notifications=Notifications(
            has_smtp=settings.smtp is not None,
            has_apprise=find_spec("apprise") is not None,
            commands=tuple(settings.notify.commands),
            urls=tuple(settings.notify.urls),
        ),
        metrics=state.metrics,
        control=control,
        forecaster=forecaster,
        hosts=hosts,
        page_key=secrets.page_key,
    )


def page_key(secret: bytes) -> bytes:
    """Returns the key for the proofs in page tokens of a data directory."""
    return hashlib.blake2b(secret, person=b"page tokens").digest()


def instance_id(secret: bytes) -> str:
    """Returns an EC2 instance id for this machine: the same for a data directory at each start."""
    return "i-" + hashlib.blake2b(secret, person=b"instance id").hexdigest()[:INSTANCE_HEX]
