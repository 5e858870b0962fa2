"""What `valueFrom` and `credentialsParameter` name, and which value of it (AWS Batch behaviour 6.4; ECS developer
guide: specifying sensitive data).

    arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-AbCdEf[:json-key:version-stage:version-id]
    arn:aws:ssm:REGION:ACCOUNT:parameter/NAME[:version], or the parameter's name alone
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from batchyard.core.model.names import Account
from batchyard.core.model.refusal import Refused
from batchyard.core.model.secret_records import Parameter, ParameterVersion, Secret, SecretVersion
from batchyard.core.model.text import quoted
from batchyard.core.secrets.secrets import CURRENT, INVALID_REQUEST, NOT_FOUND

_SECRET = re.compile(r"arn:[^:]+:secretsmanager:([^:]*):([^:]*):secret:([^:]+)(?::(.*))?", re.DOTALL)
_PARAMETER = re.compile(r"arn:[^:]+:ssm:[^:]*:[^:]*:parameter(/.+)", re.DOTALL)
_SELECTED = re.compile(r"(.+):([0-9]{1,9})", re.DOTALL)
_FILE_NAME = re.compile(r"[-._a-zA-Z0-9]{1,253}")  # Kubernetes: the keys of a Secret
WHOLE_FILE = "value"  # the file of a secret that is no JSON object
_SUFFIX = re.compile(r"(.+)-([A-Za-z0-9]{6})", re.DOTALL)


class SecretReference(Struct, frozen=True):
    secret_id: str  # the ARN without what follows the name
    json_key: str = ""
    stage: str = ""
    version_id: str = ""


class ParameterReference(Struct, frozen=True):
    name: str  # or its ARN
    version: int = 0  # 0: the latest


Reference = SecretReference | ParameterReference


def secret_binding(name: str, version_id: str) -> str:
    """Returns what the value of a version is bound to: it can't be decrypted with any other."""
    return f"secret {name} {version_id}"


def parameter_binding(name: str, value_id: str) -> str:
    return f"parameter {name} {value_id}"


def parse(value_from: str) -> Reference:
    """Parses a reference. Raises Refused with a sentence for what is no reference at all."""
    match = _SECRET.fullmatch(value_from)
    if match is not None:
        rest = match[4]
        parts = rest.split(":") if rest is not None else []
        if len(parts) > 3:
            raise Refused(
                f"{value_from} has more than json-key:version-stage:version-id behind the secret's name.",
                INVALID_REQUEST,
            )
        arn = value_from if rest is None else value_from[: -len(rest) - 1]
        json_key, stage, version_id = (*parts, "", "", "")[:3]
        return SecretReference(arn, json_key, stage, version_id)
    if not value_from or (value_from.startswith("arn:") and _PARAMETER.fullmatch(value_from) is None):
        raise Refused(
            f"'{value_from}' is neither the ARN of a secret nor the ARN or the name of a parameter.", INVALID_REQUEST
        )
    return parse_parameter(value_from)


def parse_parameter(text: str) -> ParameterReference:
    """Parses a parameter's name or ARN, with an optional `:version`. Parameters have no labels here."""
    match = _SELECTED.fullmatch(text)
    return ParameterReference(match[1], int(match[2])) if match is not None else ParameterReference(text)


def secret_names(secret_id: str, account: Account) -> list[tuple[str, str]]:
    """Returns the names that a secret id may mean, best first, each with the suffix the secret must have ("": any).

    A name, a full ARN, or one without the suffix. The ARN of another account or region comes from somewhere else, where
    the secret of that name got a suffix of its own: any suffix will do here."""
    match = _SECRET.fullmatch(secret_id)
    if match is None:
        return [(secret_id, "")]
    region, owner, name = match[1], match[2], match[3]
    names = [(name, "")]
    parts = _SUFFIX.fullmatch(name)
    if parts is not None:
        is_ours = (region, owner) == (account.region, account.account_id)
        names.insert(0, (parts[1], parts[2] if is_ours else ""))
    return names


def find_secret(secrets: Mapping[str, Secret], secret_id: str, account: Account) -> Secret:
    """Finds a secret. Raises Refused when there is none."""
    for name, suffix in secret_names(secret_id, account):
        secret = secrets.get(name)
        if secret is not None and suffix in ("", secret.suffix):
            return secret
    raise Refused("Secrets Manager can't find the specified secret.", NOT_FOUND)


def version_of(secret: Secret, version_id: str = "", stage: str = "") -> SecretVersion:
    """Returns the requested version; AWSCURRENT by default. Raises Refused."""
    if secret.gone_at_ms:
        raise Refused(
            "You can't perform this operation on the secret because it was marked for deletion.", INVALID_REQUEST
        )
    if version_id:
        found = [version for version in secret.versions if version.version_id == version_id]
        if not found:
            raise Refused(
                f"Secrets Manager can't find the specified secret value for VersionId: {version_id}", NOT_FOUND
            )
        if stage and stage not in found[0].stages:
            raise Refused(
                "You provided a VersionStage that is not associated to the provided VersionId.", INVALID_REQUEST
            )
        return found[0]
    wanted = stage or CURRENT
    for version in secret.versions:
        if wanted in version.stages:
            return version
    raise Refused(f"Secrets Manager can't find the specified secret value for staging label: {wanted}", NOT_FOUND)


def parameter_names(name: str) -> tuple[str, ...]:
    """Returns the names that a parameter's name, or its ARN, may mean: an ARN does not show whether there is a
    leading slash."""
    match = _PARAMETER.fullmatch(name)
    if match is None:
        return (name,)
    path = match[1]
    return (path.removeprefix("/"), path) if path.count("/") == 1 else (path,)


def find_parameter(
    parameters: Mapping[str, Parameter], reference: ParameterReference
) -> tuple[Parameter, ParameterVersion]:
    """Finds a parameter. Raises Refused when there is none, or no such version."""
    for name in parameter_names(reference.name):
        if name in parameters:
            return parameters[name], _version_of(parameters[name], reference.version)
    raise Refused(f"Parameter {reference.name} not found.", "ParameterNotFound")


def _version_of(parameter: Parameter, number: int) -> ParameterVersion:
    for version in reversed(parameter.versions):
        if number in (0, version.number):
            return version
    raise Refused(
        f"Systems Manager could not find version {number} of {parameter.name}. Verify the version and try again.",
        "ParameterVersionNotFound",
    )


def json_member(text: str, key: str) -> str:
    """Returns one member of a secret that is a JSON object; other values than strings as JSON text. Raises Refused,
    never quoting the value."""
    try:
        document = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise Refused(f"the secret's value is no JSON object, so that it has no key {key}.", INVALID_REQUEST)
    if key not in document:
        raise Refused(f"retrieved secret from Secrets Manager did not contain json key {key}", INVALID_REQUEST)
    value = document[key]
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def files_of(text: str) -> dict[str, str]:
    """Returns the files that stand for a secret, by name: its members where it is a JSON object, else its whole text.
    Raises Refused, never quoting a value, for a member that can't be the name of a file."""
    try:
        document = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        document = None
    if not isinstance(document, dict):
        return {WHOLE_FILE: text}
    for key in document:
        if not _FILE_NAME.fullmatch(key) or key in (".", ".."):
            raise Refused(
                f"the key {quoted(key)!r} of the secret can't be the name of a file: use letters, digits, hyphens, "
                "underscores and dots.",
                INVALID_REQUEST,
            )
    return {key: json_member(text, key) for key in document}
