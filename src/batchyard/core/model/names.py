"""ARNs, name:revision, job ids and task ids: parse and format (AWS Batch behaviour 1.3)."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache

from msgspec import Struct

ATTEMPT_BITS = 4  # up to 10 attempts (RetryStrategy.attempts) fit into 4 bits
NODE_BITS = 12  # up to 1,000 nodes (NodeProperties.numNodes) fit into 10 bits; 12 are 3 hex digits
KEY_BITS = 64 - NODE_BITS - ATTEMPT_BITS
KEY_HEX = 16
INSTANCE_HEX = 17  # as EC2's instance ids have
# Types of resources, as they stand in ARNs; those kept as documents are the kinds of document_kinds.
COMPUTE_ENVIRONMENT = "compute-environment"
JOB_QUEUE = "job-queue"
JOB_DEFINITION = "job-definition"
JOB = "job"
_TASK_ID = re.compile(r"[0-9a-f]{32}")


class Account(Struct, frozen=True):
    """The account of the service: the parts that all ARNs share."""

    account_id: str
    region: str
    partition: str = "aws"

    def arn(self, service: str, resource: str) -> str:
        return f"arn:{self.partition}:{service}:{self.region}:{self.account_id}:{resource}"

    def environment_arn(self, name: str) -> str:
        return self.arn("batch", f"{COMPUTE_ENVIRONMENT}/{name}")

    def queue_arn(self, name: str) -> str:
        return self.arn("batch", f"{JOB_QUEUE}/{name}")

    def definition_arn(self, name: str, revision: int) -> str:
        return self.arn("batch", f"{JOB_DEFINITION}/{name}:{revision}")

    def policy_arn(self, name: str) -> str:
        return self.arn("batch", f"scheduling-policy/{name}")

    def consumable_resource_arn(self, name: str) -> str:
        return self.arn("batch", f"consumable-resource/{name}")

    def service_environment_arn(self, name: str) -> str:
        return self.arn("batch", f"service-environment/{name}")

    def service_job_arn(self, job_id: str) -> str:
        return self.arn("batch", f"service-job/{job_id}")

    def quota_share_arn(self, queue: str, name: str) -> str:
        return self.arn("batch", f"{JOB_QUEUE}/{queue}/quota-share/{name}")

    def job_arn(self, job_id: str) -> str:
        return self.arn("batch", f"{JOB}/{job_id}")

    def cluster_arn(self, cluster: str) -> str:
        return self.arn("ecs", f"cluster/{cluster}")

    def task_arn(self, cluster: str, task_id: str) -> str:
        return self.arn("ecs", f"task/{cluster}/{task_id}")

    def secret_arn(self, name: str, suffix: str) -> str:
        return self.arn("secretsmanager", f"secret:{name}-{suffix}")

    def parameter_arn(self, name: str) -> str:
        return self.arn("ssm", f"parameter/{name.removeprefix('/')}")

    def container_instance_arn(self, cluster: str, instance_id: str) -> str:
        return self.arn("ecs", f"container-instance/{cluster}/{container_instance_id(instance_id)}")


class JobId(Struct, frozen=True):
    """A job id taken apart: `uuid`, `uuid:index` or `uuid#node`."""

    uuid: str
    index: int | None = None
    node: int | None = None


def resource_name(text: str, kind: str) -> str:
    """Returns the name in `text`, which is a name or an ARN `arn:...:<kind>/<name>`. Other text is returned as it
    is."""
    if text.startswith("arn:"):
        head, _, name = text.partition(f":{kind}/")
        if name and head.count(":") == 4:
            return name
    return text


def parse_job_id(text: str) -> JobId:
    """Parses a job id or a job ARN. Never fails: an unreadable suffix stays part of the uuid, which then is unknown."""
    text = resource_name(text, JOB)
    for separator in (":", "#"):
        uuid, found, suffix = text.partition(separator)
        if found and suffix.isascii() and suffix.isdigit() and str(int(suffix[:10])) == suffix:
            return JobId(uuid, index=int(suffix)) if separator == ":" else JobId(uuid, node=int(suffix))
    return JobId(text)


def child_key(parent_key: int, index: int) -> int:
    """Returns the key of an array's child: an array of N takes the N keys after its own."""
    return parent_key + 1 + index


def child_index(parent_key: int, key: int) -> int:
    """Returns the index of the child whose key is `key`: the inverse of child_key."""
    return key - parent_key - 1


def node_id(job_id: str, node: int) -> str:
    """Returns the id of a node of a multi-node job."""
    return f"{job_id}#{node}"


def child_id(parent_id: str, index: int) -> str:
    return f"{parent_id}:{index}"


def split_definition(text: str) -> tuple[str, int | None]:
    """Splits `name`, `name:rev` or an ARN of either into (name, revision or None)."""
    name, found, revision = resource_name(text, JOB_DEFINITION).rpartition(":")
    if found and revision.isascii() and revision.isdigit() and len(revision) <= 9:
        return name, int(revision)
    return resource_name(text, JOB_DEFINITION), None


@lru_cache(maxsize=4096)  # each event and description of an attempt has it more than once
def task_id(key: int, number: int, job_id: str) -> str:
    """Returns the 32 hex digits that name one attempt everywhere: ECS task, log stream, container, journal. Of an
    attempt with several nodes they name node 0; `AttemptNode` has the others.

    Reversible (`parse_task_id`), so that no table of names is needed; the second half ties it to this job's uuid, so
    that ids of different data directories never collide."""
    assert 0 < number < 1 << ATTEMPT_BITS, f"attempt {number} of job {job_id} does not fit a task id"
    assert key < 1 << KEY_BITS, f"the key {key} of job {job_id} does not fit a task id"
    digest = hashlib.blake2b(f"{job_id}/{key}/{number}".encode(), digest_size=8).hexdigest()
    return f"{key << ATTEMPT_BITS | number:0{KEY_HEX}x}{digest}"


def is_task_id(text: str) -> bool:
    """Whether a text has the form of a task id."""
    return _TASK_ID.fullmatch(text) is not None


def parse_task_id(text: str) -> tuple[int, int] | None:
    """Returns (job key, attempt number) of a task id of node 0, or None when it is not one. The caller checks that
    `task_id` agrees."""
    if _TASK_ID.fullmatch(text) is None:
        return None
    packed = int(text[:KEY_HEX], 16)
    return packed >> ATTEMPT_BITS, packed & ((1 << ATTEMPT_BITS) - 1)


def log_stream(prefix: str, task: str, container: str = "default") -> str:
    return f"{prefix}/{container}/{task}"


def instance_id(environment_uuid: str, number: int) -> str:
    """Returns an EC2 instance id for the `number`th instance that an environment launched."""
    digest = hashlib.blake2b(f"{environment_uuid}/{number}".encode(), digest_size=9).hexdigest()
    return f"i-{digest[:INSTANCE_HEX]}"


def container_uuid(task_id: str, container: str = "default") -> str:
    """Returns the uuid of a task's container in ECS's ARNs. `container`: its name in the engine."""
    digits = task_id
    if container != "default":
        digits = hashlib.blake2b(f"{task_id}/{container}".encode(), digest_size=16).hexdigest()
    return _as_uuid(digits)


def pod_name(task_id: str) -> str:
    """Returns the name of an attempt's pod, as AWS Batch names pods."""
    return f"aws-batch.{_as_uuid(task_id)}"


def node_uid(instance_id: str) -> str:
    """Returns the uuid of the Kubernetes node that an instance would be."""
    return _as_uuid(container_instance_id(instance_id))


def _as_uuid(digits: str) -> str:
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def container_instance_id(instance_id: str) -> str:
    """Returns 32 hex digits for an instance, as ECS names container instances."""
    return hashlib.blake2b(instance_id.encode(), digest_size=16).hexdigest()


def cluster_name(environment: str, uuid: str) -> str:
    return f"AWSBatch-{environment}-{uuid}"
