"""Builds launches: what jobs get from this service in their environment, below and above their definitions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType

from msgspec import Struct
from msgspec.structs import replace

from batchyard.api.services import SERVICES
from batchyard.core.model.attempt_node import AttemptNode
from batchyard.core.model.effects import LaunchTask
from batchyard.core.model.names import NODE_BITS
from batchyard.core.model.records import TaskSpec, containers_of
from batchyard.core.tasks import pod
from batchyard.core.tasks.task_spec import NO_NETWORK, reads_secrets
from batchyard.engines.base import Launch
from batchyard.engines.gpus import FoundGpus
from batchyard.server.access.sessions import OTHER_SOURCES
from batchyard.server.launch.secret_resolver import Resolver, UnresolvedError
from batchyard.server.settings.image_names import IMAGES_TABLE, ImageNames
from batchyard.server.settings.offered_gpus import OfferedGpus
from batchyard.server.settings.s3 import ENDPOINT_VARIABLE, S3

# Submissions whose tasks are launched in turns; an array launches one task thousands of times.
TASK_CACHE_SIZE = 1024

TASK_KEY_HEX = 15  # digits of an attempt's id, of those that tie it to its job: so that the key stays in 64 bits
NODE_SHIFT = 4 * TASK_KEY_HEX - NODE_BITS

NO_OTHER_IMAGES = ImageNames(())
NO_GPUS = OfferedGpus((), FoundGpus(), None)

Pairs = tuple[tuple[str, str], ...]


def _nothing(address: str, attempt_id: str) -> Pairs:
    return ()


def _no_address(address: str, attempt_id: str) -> str:
    return ""


# The address of this service, for each of its services that jobs may call.
ENDPOINTS = tuple(
    service.endpoint_variable for service in SERVICES.values() if service.is_for_jobs and service.endpoint_variable
)
TRACE_PARENT_VARIABLE = "TRACEPARENT"  # where programs of a trace look for their parent span (OpenTelemetry)
KEY_ID_VARIABLE, SECRET_VARIABLE = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
# A container with one of these signs with other keys than those of the owner's S3, or uses another S3.
WITHOUT_S3_KEYS = frozenset(
    (
        KEY_ID_VARIABLE,
        SECRET_VARIABLE,
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        ENDPOINT_VARIABLE,
        *OTHER_SOURCES,
    )
)


class PreparedTask(Struct, frozen=True):
    """A `task` merged with the weaker variables. `brings_credentials`: its environment names a source of
    credentials. `signing`: the containers that sign with the keys of S3, each with those of ENDPOINTS that it did
    not set itself. `refers`: words of it name variables of the attempt. `brings_trace`: its
    environment names a trace. `replaced_images`: as in Launch."""

    task: TaskSpec
    brings_credentials: bool
    signing: tuple[tuple[str, tuple[str, ...]], ...]
    reads_secrets: bool
    refers: bool
    brings_trace: bool
    replaced_images: tuple[tuple[str, str, str], ...] = ()


class LaunchBuilder:
    """LaunchTask -> Launch. From the weakest to the strongest: the endpoints, the variables that settings give to every
    job, the definition and its overrides, its secrets, the attempt's own: AWS_BATCH_*, its metadata endpoint and,
    unless the job names another source of them, where its credentials are, and unless it names another one, its span.

    `address`: of this service, for tasks on the host's network; `bridge_address`: for containers on a network of
    their own. Tasks without a network get no address. `token`: makes the token of an attempt and (of several) a
    container, for the metadata endpoint; `credentials`: returns variables, by the address of this service and the
    attempt. `resolver` reads secrets; `pulling`: the engines that pull images, and so need the credentials of their
    registries. `s3`: the owner's, which jobs get with its keys. They then sign all requests with these;
    `own_address`, by address and attempt, is where this service identifies them nevertheless. `images`: which images
    stand for those of definitions. `gpus`: those of this machine, for their names. `addresses`: of this service for
    tasks on engines, by name, that run them on other machines; those have GPUs of their own."""

    def __init__(
        self,
        address: str,
        region: str,
        job_env: Pairs,
        token: Callable[[str, str], str],
        credentials: Callable[[str, str], Pairs] = _nothing,
        resolver: Resolver | None = None,
        pulling: Collection[str] = (),
        s3: S3 | None = None,
        own_address: Callable[[str, str], str] = _no_address,
        bridge_address: str = "",
        images: ImageNames = NO_OTHER_IMAGES,
        gpus: OfferedGpus = NO_GPUS,
        addresses: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._addresses_of = addresses
        self._address, self._bridge_address = address, bridge_address
        self._anywhere = {
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_EXECUTION_ENV": "AWS_ECS_EC2",  # the variables on Batch's EC2 environments
        }
        self._s3_endpoint = {ENDPOINT_VARIABLE: s3.endpoint} if s3 is not None else {}
        self._job_env = dict(job_env)
        self._token = token
        self._credentials = credentials
        self._resolver = resolver
        self._pulling = frozenset(pulling)
        self._s3_keys = s3.keys if s3 is not None else None
        self._own_address = own_address
        self._images, self._gpus = images, gpus
        # Variables that settings give to every job count like a job's own.
        self._settings_names = frozenset(name for name, _ in job_env)
        # By engine and spec key: the task it was made from, to notice a changed one, and what `_task` gives.
        self._tasks: OrderedDict[tuple[str, int], tuple[TaskSpec, PreparedTask]] = OrderedDict()

    def __call__(self, effect: LaunchTask) -> Launch:
        prepared = self._task(effect)
        task, attempt_id, task_id = prepared.task, effect.attempt_id, effect.attempt_node.task_id
        address = self._address_for(effect)
        own = () if prepared.brings_credentials or not address else self._credentials(address, attempt_id)
        addresses = self._addresses(prepared, address, attempt_id) if prepared.signing and address else ()
        metadata: tuple[tuple[str, str, str], ...] = ()
        if task.containers:
            if address:
                metadata = tuple((one.name, *self._endpoint(address, task_id, one.name)) for one in task.containers)
            metadata = (*metadata, *addresses)
        elif address:
            own = (self._endpoint(address, task_id, ""), *own, *((name, url) for _, name, url in addresses))
        spec_key = effect.spec_key
        if prepared.refers:
            task, spec_key = pod.expand(task, dict(effect.environment)), _key_of(effect.attempt_node)
        if effect.trace_parent and not prepared.brings_trace:
            own = (*own, (TRACE_PARENT_VARIABLE, effect.trace_parent))
        is_elsewhere = effect.engine in self._addresses_of
        launch = Launch(
            attempt_node=effect.attempt_node,
            spec_key=spec_key,
            task=task,
            environment=(*effect.environment, *own),
            device_ids=effect.device_ids,
            gpus=() if is_elsewhere else self._gpus.named(effect.device_ids),
            gpu_vendor="" if is_elsewhere else self._gpus.vendor,
            job_id=effect.job_id,
            secrets=self._keys_of_s3(prepared) if prepared.signing else (),
            container_environment=metadata,
            replaced_images=prepared.replaced_images,
            gang=effect.gang,
        )
        if prepared.reads_secrets:
            return self._with_secrets(launch, effect.engine)
        return launch

    def _with_secrets(self, launch: Launch, engine: str) -> Launch:
        """Adds the secrets. One that can't be read becomes the launch's problem, so that it is not started."""
        resolver, containers = self._resolver, containers_of(launch.task)
        assert resolver is not None, f"attempt {launch.attempt_id} has secrets, and there is no resolver"
        try:
            secrets = [one for container in containers for one in resolver.variables(container)]
            credentials = [
                one
                for container in containers
                if engine in self._pulling
                for one in resolver.registry_credentials(container)
            ]
            log_options = [one for container in containers for one in resolver.log_options(container)]
            files = [one for container in containers for one in resolver.files(container)]
        except UnresolvedError as problem:
            culprit = problem.container if launch.task.containers else ""
            return replace(launch, problem=str(problem), problem_container=culprit)
        return replace(
            launch,
            secrets=(*launch.secrets, *secrets),
            registry_credentials=tuple(credentials),
            log_options=tuple(log_options),
            files=tuple(files),
        )

    def _keys_of_s3(self, prepared: PreparedTask) -> tuple[tuple[str, str, str], ...]:
        """Returns the keys of S3 as secrets, so that they are in no record, log or journal."""
        assert self._s3_keys is not None, "a task signs with keys that there are not"
        pairs = tuple(zip((KEY_ID_VARIABLE, SECRET_VARIABLE), self._s3_keys, strict=True))
        return tuple((container, *pair) for container, _ in prepared.signing for pair in pairs)

    def _address_for(self, effect: LaunchTask) -> str:
        """Returns the address of this service for the task; empty where it can't be reached. Containers that are nodes
        of a multi-node job are on a network of their own."""
        network = effect.task.network
        if network == NO_NETWORK:
            return ""
        if effect.engine in self._addresses_of:
            return self._addresses_of[effect.engine]
        is_apart = network or (effect.gang is not None and effect.engine in self._pulling)
        return self._bridge_address if is_apart else self._address

    def _addresses(self, prepared: PreparedTask, address: str, attempt_id: str) -> tuple[tuple[str, str, str], ...]:
        """Returns (container, variable, value): the addresses of this service that name the attempt."""
        own = self._own_address(address, attempt_id)
        if not own:
            return ()
        return tuple((container, name, own) for container, names in prepared.signing for name in names)

    def _endpoint(self, address: str, task_id: str, container: str) -> tuple[str, str]:
        return "ECS_CONTAINER_METADATA_URI_V4", f"{address}/v4/{self._token(task_id, container)}"

    def _task(self, effect: LaunchTask) -> PreparedTask:
        """Returns the same object for the same submission, so that engines send its task once."""
        key = effect.engine, effect.spec_key
        known = self._tasks.get(key)
        if known is not None and known[0] is effect.task:
            self._tasks.move_to_end(key)
            return known[1]
        base = self._base(effect)
        task, replaced_images = self._with_images(effect.task, effect.engine)
        if task.containers:
            containers = [replace(one, environment=_over(base, one.environment)) for one in task.containers]
            prepared = replace(task, containers=tuple(containers))
        else:
            prepared = replace(task, environment=_over(base, task.environment))
        names = {name for one in containers_of(prepared) for name, _ in (*one.environment, *one.secrets)}
        signing = self._signing(effect.task) if self._s3_keys is not None else ()
        reads = any(map(reads_secrets, containers_of(prepared)))
        refers = pod.refers(prepared)
        brings_credentials, brings_trace = not names.isdisjoint(OTHER_SOURCES), TRACE_PARENT_VARIABLE in names
        found = PreparedTask(
            prepared, brings_credentials, signing, reads, refers, brings_trace, replaced_images=replaced_images
        )
        self._tasks[key] = (effect.task, found)
        if len(self._tasks) > TASK_CACHE_SIZE:
            self._tasks.popitem(last=False)
        return found

    def _with_images(self, task: TaskSpec, engine: str) -> tuple[TaskSpec, tuple[tuple[str, str, str], ...]]:
        """Returns the task with the images that stand for its own on an engine, and those that were replaced."""
        replaced: list[tuple[str, str, str]] = []
        images: list[str] = []
        for container in containers_of(task):
            image, line = self._images.find(engine, container.image)
            images.append(image)
            if line is not None:
                replaced.append((container.name, container.image, f"the line {line.pattern!r} of [{IMAGES_TABLE}]"))
        if not replaced:
            return task, ()
        if not task.containers:
            return replace(task, image=images[0]), tuple(replaced)
        containers = tuple(replace(one, image=image) for one, image in zip(task.containers, images, strict=True))
        return replace(task, containers=containers), tuple(replaced)

    def _signing(self, task: TaskSpec) -> tuple[tuple[str, tuple[str, ...]], ...]:
        found = []
        for one in containers_of(task):
            own = self._settings_names | {name for name, _ in (*one.environment, *one.secrets)}
            if own.isdisjoint(WITHOUT_S3_KEYS):
                found.append((one.name, tuple(name for name in ENDPOINTS if name not in own)))
        return tuple(found)

    def _base(self, effect: LaunchTask) -> dict[str, str]:
        """Returns the variables weaker than the definition's own."""
        task, address = effect.task, self._address_for(effect)
        endpoints = dict.fromkeys(ENDPOINTS, address) if address else {}
        s3_endpoint = {} if task.network == NO_NETWORK else self._s3_endpoint
        return self._anywhere | endpoints | s3_endpoint | self._job_env


def _key_of(attempt_node: AttemptNode) -> int:
    """Returns a key for a task that one node of one attempt alone has; those of submissions are positive."""
    return -(int(attempt_node.attempt_id[-TASK_KEY_HEX:], 16) ^ (attempt_node.node << NODE_SHIFT))


def _over(base: dict[str, str], environment: Pairs) -> Pairs:
    return tuple((base | dict(environment)).items())
