"""What requests of ECS have in common: the cluster that they name, lists of at most 100, pages of ARNs."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from batchyard.api.context import Context
from batchyard.api.ecs.cluster_names import environment_of_cluster
from batchyard.core.model.records import Environment
from batchyard.core.model.refusal import Refused
from batchyard.wire.messages import Document

INVALID = "InvalidParameterException"
DEFAULT_CLUSTER = "default"  # the cluster in ECS where none is named
MAX_DESCRIBED = 100  # tasks, container instances or clusters (ECS API reference)
MAX_PAGE = 100


def named_environment(context: Context, request: Document) -> str:
    """Returns the environment whose cluster the request names. It may be deleted: its tasks are still known."""
    environment = environment_of_cluster(context.account, request.get("cluster") or DEFAULT_CLUSTER)
    if environment is None:
        raise no_cluster()
    return environment


def no_cluster() -> Refused:
    return Refused("Cluster not found.", "ClusterNotFoundException")


async def with_clusters(context: Context, wanted: list[str]) -> dict[str, Environment]:
    """Returns the environments with a cluster, by name."""
    if not wanted:
        return {}
    found, _ = await context.read(context.reader.environments, wanted, len(wanted))
    return {environment.name: environment for environment in found if has_cluster(environment)}


def has_cluster(environment: Environment) -> bool:
    return "eksConfiguration" not in environment.document


def described(asked: list[str], subject: str) -> list[str]:
    if not asked:
        raise Refused(f"{subject} cannot be empty.", INVALID)
    if len(asked) > MAX_DESCRIBED:
        raise Refused(f"{subject} cannot have more than {MAX_DESCRIBED} entries, got {len(asked)}.", INVALID)
    return list(dict.fromkeys(asked))


def arn_of(text: str, make_arn: Callable[[str], str]) -> str:
    """Returns what a request names by its ARN or id as an ARN. `make_arn`: from the id."""
    return text if text.startswith("arn:") else make_arn(text)


def asks_for_tags(request: Document) -> bool:
    return "TAGS" in request.get("include", [])


def missing(arn: str) -> Document:
    return {"arn": arn, "reason": "MISSING"}


def page_limit(request: Document) -> int:
    asked = request.get("maxResults")
    if asked is not None and not 1 <= asked <= MAX_PAGE:
        raise Refused(f"maxResults must be between 1 and {MAX_PAGE}, got {asked}.", INVALID)
    return MAX_PAGE if asked is None else int(asked)


def page_of(arns: Iterable[str], request: Document) -> tuple[list[str], Document]:
    """Returns a page of sorted ARNs; its token names the last one."""
    after = request.get("nextToken", "")
    rest = [arn for arn in arns if arn > after]
    limit = page_limit(request)
    page = rest[:limit]
    return page, {"nextToken": page[-1]} if len(rest) > limit else {}
