"""The commands of IAM: writes of the API and questions to memory. Shapes were checked; machine.py checks them against
what there is."""

from __future__ import annotations

from msgspec import field

from batchyard.core.model.commands import Command
from batchyard.iam.records import DEFAULT_SESSION_SECONDS, InstanceProfile, Policy, PolicyVersion, Role

# -- roles --


class CreateRole(Command[Role], frozen=True):
    """`attached` and `is_service_linked`: of roles that a service of AWS would make for itself."""

    name: str
    path: str
    id: str
    trust_policy: str
    description: str = ""
    max_session_seconds: int = DEFAULT_SESSION_SECONDS
    boundary: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    attached: tuple[str, ...] = ()
    is_service_linked: bool = False


class UpdateRole(Command[Role], frozen=True):
    """Changes the members that are not None; an empty `boundary` removes it."""

    name: str
    description: str | None = None
    max_session_seconds: int | None = None
    trust_policy: str | None = None
    boundary: str | None = None


class DeleteRole(Command[None], frozen=True):
    """`is_service_linked`: the kind of role that the caller means; one of the other kind is refused."""

    name: str
    is_service_linked: bool = False


class PutRolePolicy(Command[None], frozen=True):
    role: str
    name: str
    document: str


class DeleteRolePolicy(Command[None], frozen=True):
    role: str
    name: str


class AttachRolePolicy(Command[None], frozen=True):
    role: str
    arn: str


class DetachRolePolicy(Command[None], frozen=True):
    role: str
    arn: str


# -- policies --


class CreatePolicy(Command[Policy], frozen=True):
    name: str
    path: str
    id: str
    document: str
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)


class DeletePolicy(Command[None], frozen=True):
    arn: str


class CreatePolicyVersion(Command[PolicyVersion], frozen=True):
    arn: str
    document: str
    is_default: bool = False


class DeletePolicyVersion(Command[None], frozen=True):
    arn: str
    version: str


class SetDefaultPolicyVersion(Command[None], frozen=True):
    arn: str
    version: str


# -- instance profiles --


class CreateInstanceProfile(Command[InstanceProfile], frozen=True):
    name: str
    path: str
    id: str
    tags: dict[str, str] = field(default_factory=dict)


class DeleteInstanceProfile(Command[None], frozen=True):
    name: str


class AddRoleToInstanceProfile(Command[None], frozen=True):
    profile: str
    role: str


class RemoveRoleFromInstanceProfile(Command[None], frozen=True):
    profile: str
    role: str


# -- tags --


class TagRole(Command[None], frozen=True):
    """`tags` are merged; those of `removed` go. The next two are alike."""

    name: str
    tags: dict[str, str] = field(default_factory=dict)
    removed: tuple[str, ...] = ()


class TagPolicy(Command[None], frozen=True):
    arn: str
    tags: dict[str, str] = field(default_factory=dict)
    removed: tuple[str, ...] = ()


class TagInstanceProfile(Command[None], frozen=True):
    name: str
    tags: dict[str, str] = field(default_factory=dict)
    removed: tuple[str, ...] = ()


# -- questions --


class AskRole(Command[Role | None], frozen=True):
    name: str


class AskRoles(Command[tuple[Role, ...]], frozen=True):
    """Asks for all roles, by name. The next two are alike."""


class AskPolicies(Command[tuple[Policy, ...]], frozen=True):
    pass


class AskInstanceProfiles(Command[tuple[InstanceProfile, ...]], frozen=True):
    pass
