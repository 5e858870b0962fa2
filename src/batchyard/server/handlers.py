"""All operations of all rooms in one table, connected to the parts of a running service."""

from __future__ import annotations

import hashlib
import platform
import socket
import uuid
from collections.abc import Callable

from msgspec import Struct

from batchyard.api.context import Ask, Context
from batchyard.api.context import Settings as ApiSettings
from batchyard.api.ecs.metadata import metadata
from batchyard.api.operations import bind
from batchyard.api.readers import Readers
from batchyard.core.capacity.catalogue import ARM64, X86_64
from batchyard.core.model.names import Account
from batchyard.server.access.metadata_tokens import Tokens
from batchyard.server.admin.service_operations import ServiceOperations
from batchyard.server.http.app import Document, Handler
from batchyard.server.http.disk_guard import FreeSpace, guarded
from batchyard.server.launch.cipher import KeyFileCipher
from batchyard.server.settings.catalogue_file import load_catalogue
from batchyard.server.settings.config import Settings
from batchyard.server.settings.paths import Paths
from batchyard.store.queries import Reader

INSTANCE_HEX = 17  # as EC2's instance ids have
ARM_MACHINES = ("aarch64", "arm64")  # as platform.machine() names them


class Connected(Struct, frozen=True):
    """The parts that operations use. `context` is theirs; `end(kill)` begins the end of the service."""

    settings: Settings
    paths: Paths
    address: str
    context: Context
    tokens: Tokens
    free_bytes: Callable[[], int]
    now_ms: Callable[[], int]
    health: Callable[[], Document]
    end: Callable[[bool], None]

    def operations(self) -> dict[tuple[str, str], Handler]:
        """By service and operation; what is missing is not built."""
        service = ServiceOperations(self.settings, self.paths, self.address, self.context.ask, self.health, self.end)
        space = FreeSpace(self.free_bytes, self.settings.min_free_mib, self.now_ms)
        return {
            **guarded(bind(self.context), space),
            ("yard", "GetService"): service.get_service,
            ("yard", "Shutdown"): service.shutdown,
        }

    async def metadata(self, token: str, rest: str) -> Document | None:
        """ECS task metadata of the attempt that the token was made for; `rest` is the path after it."""
        attempt_id = self.tokens.attempt_id(token)
        if attempt_id is None:
            return None
        return await metadata(self.context, attempt_id, f"/{rest}", self.tokens.container(token))


def context_of(
    settings: Settings,
    paths: Paths,
    account: Account,
    ask: Ask,
    reader: Reader,
    cipher: KeyFileCipher,
    readers: Readers,
    engine: str,
    engines: tuple[str, ...],
    host_vcpus: int,
    host_address: str,
    key_name: Callable[[str], str],
    page_key: bytes,
) -> Context:
    """What the functions of operations work with. `engine` runs environments that callers create, unless they ask for
    another of `engines`; `host_vcpus` are what this machine offers, `host_address` is where its network finds it;
    `key_name`: whose an access key is; `page_key`: what page tokens are proved with."""
    return Context(
        account=account,
        ask=ask,
        reader=reader,
        new_uuid=lambda: str(uuid.uuid4()),
        logs_directory=paths.logs_dir,
        cipher=cipher,
        host_vcpus=host_vcpus,
        host_address=host_address,
        host_name=socket.gethostname(),
        architecture=ARM64 if platform.machine() in ARM_MACHINES else X86_64,
        catalogue=load_catalogue(),
        key_name=key_name,
        settings=ApiSettings(
            engine=engine,
            engines=engines,
            min_timeout_seconds=settings.min_timeout_seconds,
            max_array_size=settings.max_array_size,
            max_job_kib=settings.max_job_kib,
        ),
        readers=readers,
        page_key=page_key,
    )


def page_key(secret: bytes) -> bytes:
    """What page tokens of a data directory are proved with."""
    return hashlib.blake2b(secret, person=b"page tokens").digest()


def instance_id(secret: bytes) -> str:
    """This machine as an EC2 instance id: the same for a data directory at each start."""
    return "i-" + hashlib.blake2b(secret, person=b"instance id").hexdigest()[:INSTANCE_HEX]
