"""The records of Secrets Manager and of SSM's Parameter Store. Their values are encrypted before they come here."""

from __future__ import annotations

from msgspec import Struct


class SecretVersion(Struct, frozen=True, omit_defaults=True):
    """One encrypted value of a secret, which the key file decrypts. `digest`, made with that file too, shows whether
    a repeated request has the same value."""

    version_id: str
    sealed: bytes
    digest: bytes
    created_at_ms: int
    stages: tuple[str, ...] = ()  # staging labels: AWSCURRENT, AWSPREVIOUS, ...
    is_binary: bool = False


class Secret(Struct, frozen=True, omit_defaults=True):
    """A secret of Secrets Manager. `suffix`: the six characters behind its name in its ARN."""

    name: str
    suffix: str
    created_at_ms: int
    changed_at_ms: int
    versions: tuple[SecretVersion, ...] = ()  # oldest first
    description: str = ""
    kms_key_id: str = ""  # kept and echoed; the key file is what encrypts
    tags: dict[str, str] = {}
    deleted_at_ms: int = 0  # 0: it is not being deleted
    gone_at_ms: int = 0  # when the recovery window of a deleted one ends


class ParameterVersion(Struct, frozen=True, omit_defaults=True):
    """One value of a parameter, encrypted like a secret's, whatever its type. `value_id` is what it is bound to."""

    number: int  # from 1
    value_id: str
    sealed: bytes
    created_at_ms: int


class Parameter(Struct, frozen=True, omit_defaults=True):
    """A parameter of SSM's Parameter Store."""

    name: str  # with its leading slash, where it has one
    type: str  # String, StringList or SecureString
    versions: tuple[ParameterVersion, ...]  # oldest first, never empty
    tier: str = "Standard"
    description: str = ""
    key_id: str = ""  # kept and echoed
    tags: dict[str, str] = {}
