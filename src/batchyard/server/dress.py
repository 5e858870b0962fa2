"""What jobs get from this service in their environment, below and above what their definitions say."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from msgspec.structs import replace

from batchyard.core.effects import LaunchTask
from batchyard.core.records import TaskSpec
from batchyard.engines.base import Launch

# Submissions whose tasks are launched in turns; an array launches one task thousands of times.
TASK_CACHE_SIZE = 1024

Pairs = tuple[tuple[str, str], ...]


class Dress:
    """LaunchTask -> Launch. From the weakest to the strongest: the endpoints, the variables that settings give to every
    job, the definition and its overrides, the attempt's own (AWS_BATCH_*), its metadata endpoint."""

    def __init__(self, address: str, region: str, job_env: Pairs, token: Callable[[str], str]) -> None:
        self._base = {
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_ENDPOINT_URL_BATCH": address,
            "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": address,
            "AWS_EXECUTION_ENV": "AWS_ECS_EC2",  # what programs on Batch's EC2 environments find
            **dict(job_env),
        }
        self._metadata = f"{address}/v4/"
        self._token = token
        # By spec key; the task it was made from tells a changed one.
        self._tasks: OrderedDict[int, tuple[TaskSpec, TaskSpec]] = OrderedDict()

    def __call__(self, effect: LaunchTask) -> Launch:
        metadata = ("ECS_CONTAINER_METADATA_URI_V4", self._metadata + self._token(effect.attempt_id))
        return Launch(
            attempt_id=effect.attempt_id,
            spec_key=effect.spec_key,
            task=self._task(effect),
            environment=(*effect.environment, metadata),
            device_ids=effect.device_ids,
            job_id=effect.job_id,
        )

    def _task(self, effect: LaunchTask) -> TaskSpec:
        """The same object for the same submission, so that engines send it once."""
        known = self._tasks.get(effect.spec_key)
        if known is not None and known[0] is effect.task:
            self._tasks.move_to_end(effect.spec_key)
            return known[1]
        dressed = replace(effect.task, environment=tuple((self._base | dict(effect.task.environment)).items()))
        self._tasks[effect.spec_key] = (effect.task, dressed)
        if len(self._tasks) > TASK_CACHE_SIZE:
            self._tasks.popitem(last=False)
        return dressed
