"""The names of ECS clusters, each of which represents a compute environment."""

from __future__ import annotations

import hashlib
import re
import uuid
from functools import lru_cache

from batchyard.core.model import names
from batchyard.core.model.names import Account

UUID_CHARACTERS = 36
_CLUSTER = re.compile(rf"AWSBatch-(?P<environment>[a-zA-Z0-9_-]{{1,128}})-[0-9a-f-]{{{UUID_CHARACTERS}}}")


@lru_cache(maxsize=1024)  # each event of a job has it
def cluster_name(account: Account, environment: str) -> str:
    """Returns the name of the ECS cluster that represents an environment.

    AWS ends it in a random uuid; here it is derived from account, region and name, so that an attempt, which knows
    only its environment's name, and the environment itself agree without a look-up."""
    text = f"{account.account_id}/{account.region}/{environment}"
    digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
    return names.cluster_name(environment, str(uuid.UUID(bytes=digest, version=5)))


def environment_of_cluster(account: Account, cluster: str) -> str | None:
    """Returns the environment that a cluster (its name or ARN) represents, whether it still exists or not; None: the
    cluster is not of this service."""
    name = cluster.removeprefix(account.cluster_arn(""))
    match = _CLUSTER.fullmatch(name)
    if match is None or cluster_name(account, match["environment"]) != name:
        return None
    return match["environment"]
