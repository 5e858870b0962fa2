"""The refusals of the registry, in AWS's words (step functions spec 2, 3)."""

from __future__ import annotations

from collections.abc import Sequence

from batchyard.core.model.refusal import Refused

VALIDATION, CONFLICT = "ValidationException", "ConflictException"
RESOURCE_NOT_FOUND = "ResourceNotFound"


class RefusedWithMembers(Refused):
    """A refusal whose error has more members than its text."""

    def __init__(self, message: str, code: str, **members: str) -> None:
        super().__init__(message, code)
        self.members = members


def no_machine(arn: str) -> Refused:
    return Refused(f"State Machine Does Not Exist: '{arn}'", "StateMachineDoesNotExist")


def machine_exists(arn: str) -> Refused:
    return Refused(f"State Machine Already Exists: '{arn}'", "StateMachineAlreadyExists")


def deleting(arn: str) -> Refused:
    return Refused(f"State Machine is being deleted: '{arn}'", "StateMachineDeleting")


def no_activity(arn: str) -> Refused:
    return Refused(f"Activity Does Not Exist: '{arn}'", "ActivityDoesNotExist")


def too_many(code: str, what: str, limit: int) -> Refused:
    return Refused(f"There are {limit} {what} already, the most there can be: delete some.", code)


def quota(message: str) -> Refused:
    return Refused(message, "ServiceQuotaExceededException")


def too_many_tags(arn: str, limit: int) -> Refused:
    return RefusedWithMembers(f"A resource can have at most {limit} tags: '{arn}'", "TooManyTags", resourceName=arn)


def not_found(arn: str) -> Refused:
    return RefusedWithMembers(f"Resource not found: '{arn}'", RESOURCE_NOT_FOUND, resourceName=arn)


def no_resource() -> Refused:
    return Refused("Request references a resource that does not exist.", RESOURCE_NOT_FOUND)


def other_revision(given: str, current: str) -> Refused:
    return Refused(
        f"Failed to publish the State Machine version for revision {given}. The current State Machine revision is "
        f"{current}.",
        CONFLICT,
    )


def version_in_use(aliases: Sequence[str]) -> Refused:
    return Refused(
        "Version to be deleted must not be referenced by an alias. Current list of aliases referencing this version: "
        f"[{', '.join(aliases)}]",
        CONFLICT,
    )


def alias_exists() -> Refused:
    return Refused(
        "Failed to create alias because an alias with the same name and a different routing configuration already "
        "exists.",
        CONFLICT,
    )


def no_versions(given: Sequence[str]) -> Refused:
    return _routing(f"Routing configuration must contain state machine version ARNs. Received: {_listed(given)}")


def equal_versions(given: Sequence[str]) -> Refused:
    return _routing(
        f"Routing configuration must contain distinct state machine version ARNs. Received: {_listed(given)}"
    )


def foreign_routes(given: Sequence[str]) -> Refused:
    return _routing(
        f"Routing configuration must contain versions of one state machine, that of the alias. Received: "
        f"{_listed(given)}"
    )


def wrong_sum(weights: Sequence[int]) -> Refused:
    return _routing(f"Sum of routing configuration weights must equal 100. Received: {_listed(weights)}")


def _routing(message: str) -> Refused:
    return RefusedWithMembers(message, VALIDATION, reason="INVALID_ROUTING_CONFIGURATION")


def _listed(values: Sequence[object]) -> str:
    return f"[{', '.join(str(value) for value in values)}]"
