"""What is kept of IAM: roles, managed policies and instance profiles, as documents (IAM API reference)."""

from __future__ import annotations

from msgspec import Struct

from batchyard.core.model.documents import register
from batchyard.core.model.names import Account

DEFAULT_PATH = "/"
DEFAULT_SESSION_SECONDS = 3600  # IAM API: MaxSessionDuration of a role that was made without


class Role(Struct, frozen=True, omit_defaults=True):
    """`trust_policy`: its AssumeRolePolicyDocument, as it was put; `inline`: documents by the policy's name;
    `attached`: ARNs of managed policies, in the order of their attachment; `boundary`: the ARN of its permissions
    boundary."""

    name: str
    path: str
    id: str
    created_at_ms: int
    trust_policy: str
    description: str = ""
    max_session_seconds: int = DEFAULT_SESSION_SECONDS
    boundary: str = ""
    inline: dict[str, str] = {}
    attached: tuple[str, ...] = ()
    tags: dict[str, str] = {}
    is_service_linked: bool = False


class PolicyVersion(Struct, frozen=True):
    number: int
    document: str
    created_at_ms: int

    @property
    def id(self) -> str:
        return f"v{self.number}"


class Policy(Struct, frozen=True, omit_defaults=True):
    """A managed policy of the account. `versions`: the oldest first; `default`: the number of the default one; `last`:
    the highest number that a version ever had."""

    name: str
    path: str
    id: str
    created_at_ms: int
    updated_at_ms: int
    versions: tuple[PolicyVersion, ...]
    default: int = 1
    last: int = 1
    description: str = ""
    tags: dict[str, str] = {}


class InstanceProfile(Struct, frozen=True, omit_defaults=True):
    """`role`: the name of its role; empty: it has none."""

    name: str
    path: str
    id: str
    created_at_ms: int
    role: str = ""
    tags: dict[str, str] = {}


ROLE = register("iam-role", Role)
POLICY = register("iam-policy", Policy)
INSTANCE_PROFILE = register("iam-instance-profile", InstanceProfile)


def arn_of(account: Account, kind: str, path: str, name: str) -> str:
    """Returns an ARN of IAM, which has no region. `kind`: role, policy or instance-profile."""
    return f"arn:{account.partition}:iam::{account.account_id}:{kind}{path}{name}"


def policy_arn(account: Account, policy: Policy) -> str:
    return arn_of(account, "policy", policy.path, policy.name)


def aws_policy_prefix(account: Account) -> str:
    """Returns how the ARNs of AWS's own managed policies begin."""
    return f"arn:{account.partition}:iam::aws:policy/"
