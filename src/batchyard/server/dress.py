"""What jobs get from this service in their environment, below and above what their definitions say."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection

from msgspec.structs import replace

from batchyard.core.effects import LaunchTask
from batchyard.core.records import TaskSpec, containers_of
from batchyard.engines.base import Launch
from batchyard.server.resolving import Resolver, UnresolvedError
from batchyard.server.sessions import OTHER_SOURCES

# Submissions whose tasks are launched in turns; an array launches one task thousands of times.
TASK_CACHE_SIZE = 1024

Pairs = tuple[tuple[str, str], ...]


def _nothing(attempt_id: str) -> Pairs:
    return ()


class Dress:
    """LaunchTask -> Launch. From the weakest to the strongest: the endpoints, the variables that settings give to every
    job, the definition and its overrides, its secrets, the attempt's own: AWS_BATCH_*, its metadata endpoint and,
    unless the job names another source of them, where its credentials are.

    `token`: of an attempt and (of several) a container, for the metadata endpoint; `credentials`: of an attempt, as
    variables. `resolver` reads secrets; `pulling`: the engines that pull images, and so need the credentials of their
    registries."""

    def __init__(
        self,
        address: str,
        region: str,
        job_env: Pairs,
        token: Callable[[str, str], str],
        credentials: Callable[[str], Pairs] = _nothing,
        resolver: Resolver | None = None,
        pulling: Collection[str] = (),
    ) -> None:
        self._base = {
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_ENDPOINT_URL_BATCH": address,
            "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": address,
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": address,
            "AWS_ENDPOINT_URL_SSM": address,
            "AWS_ENDPOINT_URL_ECS": address,
            "AWS_ENDPOINT_URL_STS": address,  # where the credentials that jobs have can be asked about
            "AWS_EXECUTION_ENV": "AWS_ECS_EC2",  # what programs on Batch's EC2 environments find
            **dict(job_env),
        }
        self._metadata = f"{address}/v4/"
        self._token = token
        self._credentials = credentials
        self._resolver = resolver
        self._pulling = frozenset(pulling)
        # By spec key: the task it was made from, which tells a changed one, and what `_task` gives.
        self._tasks: OrderedDict[int, tuple[TaskSpec, tuple[TaskSpec, bool]]] = OrderedDict()

    def __call__(self, effect: LaunchTask) -> Launch:
        task, brings_credentials = self._task(effect)
        own = () if brings_credentials else self._credentials(effect.attempt_id)
        if task.containers:
            metadata = tuple((one.name, *self._endpoint(effect.attempt_id, one.name)) for one in task.containers)
        else:
            metadata, own = (), (self._endpoint(effect.attempt_id, ""), *own)
        launch = Launch(
            attempt_id=effect.attempt_id,
            spec_key=effect.spec_key,
            task=task,
            environment=(*effect.environment, *own),
            device_ids=effect.device_ids,
            job_id=effect.job_id,
            container_environment=metadata,
        )
        several = any(one.secrets or "repositoryCredentials" in one.document for one in task.containers)
        if several or task.secrets or "repositoryCredentials" in task.container:
            return self._with_secrets(launch, effect.engine)
        return launch

    def _with_secrets(self, launch: Launch, engine: str) -> Launch:
        """What can't be read is the launch's problem: it is not to be started then."""
        resolver, containers = self._resolver, containers_of(launch.task)
        assert resolver is not None, f"attempt {launch.attempt_id} has secrets, and nobody reads them"
        try:
            secrets = [one for container in containers for one in resolver.variables(container)]
            credentials = [
                one
                for container in containers
                if engine in self._pulling
                for one in resolver.registry_credentials(container)
            ]
        except UnresolvedError as problem:
            culprit = problem.container if launch.task.containers else ""
            return replace(launch, problem=str(problem), problem_container=culprit)
        return replace(launch, secrets=tuple(secrets), registry_credentials=tuple(credentials))

    def _endpoint(self, attempt_id: str, container: str) -> tuple[str, str]:
        return "ECS_CONTAINER_METADATA_URI_V4", self._metadata + self._token(attempt_id, container)

    def _task(self, effect: LaunchTask) -> tuple[TaskSpec, bool]:
        """The same object for the same submission, so that engines send it once; and whether its environment says where
        to get credentials."""
        known = self._tasks.get(effect.spec_key)
        if known is not None and known[0] is effect.task:
            self._tasks.move_to_end(effect.spec_key)
            return known[1]
        if effect.task.containers:
            containers = [replace(one, environment=self._over_base(one.environment)) for one in effect.task.containers]
            dressed = replace(effect.task, containers=tuple(containers))
        else:
            dressed = replace(effect.task, environment=self._over_base(effect.task.environment))
        names = {name for one in containers_of(dressed) for name, _ in (*one.environment, *one.secrets)}
        found = dressed, not names.isdisjoint(OTHER_SOURCES)
        self._tasks[effect.spec_key] = (effect.task, found)
        if len(self._tasks) > TASK_CACHE_SIZE:
            self._tasks.popitem(last=False)
        return found

    def _over_base(self, environment: Pairs) -> Pairs:
        return tuple((self._base | dict(environment)).items())
