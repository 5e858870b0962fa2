"""Secrets Manager, as far as jobs and their owners need it (Secrets Manager API reference). Rotation and replication
are not here, and no secret has a resource policy."""

from __future__ import annotations

import base64
import binascii
import random
import re
import string
from collections.abc import Callable
from typing import Any

import msgspec

from batchyard.api.checks import quoted
from batchyard.api.context import Call, Context
from batchyard.api.secret_values import every, seal, seconds, tag_keys_of, tag_list, tags_of, unseal
from batchyard.core.model import commands
from batchyard.core.model.commands import SealedValue, VersionedSecret
from batchyard.core.model.names import Account
from batchyard.core.model.refusal import Refused
from batchyard.core.model.secret_records import Secret
from batchyard.core.secrets.document_kinds import SECRET
from batchyard.core.secrets.references import find_secret, secret_binding, secret_names, version_of
from batchyard.core.secrets.secrets import INVALID_REQUEST, MAX_STAGES
from batchyard.wire.messages import Document

NAME = re.compile(r"[A-Za-z0-9/_+=.@-]{1,512}")  # API: CreateSecretRequest.Name
TOKEN_CHARACTERS_RANGE = (32, 64)  # API: ClientRequestTokenType
MAX_VALUE_BYTES = 65_536  # API: SecretStringType, SecretBinaryType
MAX_DESCRIPTION = 2048  # API: DescriptionType
MAX_STAGE_LENGTH = 256  # API: SecretVersionStageType
RECOVERY_DAYS, DEFAULT_RECOVERY_DAYS = (7, 30), 30  # API: DeleteSecretRequest
DAY_MS = 24 * 3600 * 1000
MAX_PAGE = 100  # API: ListSecretsRequest.MaxResults
MAX_FILTERS = 10  # API: FiltersListType, FilterValuesStringList
SUFFIX_LETTERS = string.ascii_letters + string.digits
SUFFIX_LENGTH = 6
SORT_KEYS: dict[str, Callable[[Secret], Any]] = {
    "name": lambda secret: secret.name,
    "created-date": lambda secret: secret.created_at_ms,
    "last-changed-date": lambda secret: secret.changed_at_ms,
    "last-accessed-date": lambda secret: secret.created_at_ms,  # when a secret is read is not recorded
}
FILTERS: dict[str, Callable[[Secret], list[str]]] = {
    "name": lambda secret: [secret.name],
    "description": lambda secret: [secret.description],
    "tag-key": lambda secret: list(secret.tags),
    "tag-value": lambda secret: list(secret.tags.values()),
    "primary-region": lambda secret: [],
    "owning-service": lambda secret: [],
    "all": lambda secret: [secret.name, secret.description, *secret.tags, *secret.tags.values()],
}


async def create_secret(context: Context, call: Call, request: Document) -> Document:
    name = request["Name"]
    if not NAME.fullmatch(name):
        raise _invalid(
            "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: "
            "-/_+=.@ (1 to 512 characters)."
        )
    _refuse_unbuilt(request, "AddReplicaRegions", "Type")
    _check_description(request)
    value = await _value(context, name, request)
    answer = await context.ask(
        commands.CreateSecret(
            name,
            "".join(random.SystemRandom().choices(SUFFIX_LETTERS, k=SUFFIX_LENGTH)),
            value,
            description=request.get("Description", ""),
            kms_key_id=request.get("KmsKeyId", ""),
            tags=tags_of(request.get("Tags", []), _invalid),
        )
    )
    return _versioned(context.account, answer)


async def put_secret_value(context: Context, call: Call, request: Document) -> Document:
    _refuse_unbuilt(request, "RotationToken")
    stages = tuple(dict.fromkeys(request.get("VersionStages", [])))
    if "VersionStages" in request and not 1 <= len(stages) <= MAX_STAGES:
        raise _invalid(f"VersionStages must hold 1 to {MAX_STAGES} labels, got {len(stages)}.")
    if any(not 1 <= len(stage) <= MAX_STAGE_LENGTH for stage in stages):
        raise _invalid(f"A staging label must have 1 to {MAX_STAGE_LENGTH} characters.")
    secret = await _find(context, request["SecretId"])
    value = await _value(context, secret.name, request)
    if value is None:
        raise Refused("You must provide either SecretString or SecretBinary.", INVALID_REQUEST)
    answer = await context.ask(commands.PutSecretValue(secret.name, value, stages))
    document = _versioned(context.account, answer)
    labels = [v.stages for v in answer.secret.versions if v.version_id == answer.version_id]
    return document | {"VersionStages": list(labels[0])}


async def update_secret(context: Context, call: Call, request: Document) -> Document:
    _refuse_unbuilt(request, "Type")
    _check_description(request)
    secret = await _find(context, request["SecretId"])
    answer = await context.ask(
        commands.UpdateSecret(
            secret.name,
            await _value(context, secret.name, request),
            description=request.get("Description"),
            kms_key_id=request.get("KmsKeyId"),
        )
    )
    return _versioned(context.account, answer)


async def get_secret_value(context: Context, call: Call, request: Document) -> Document:
    secret = await _find(context, request["SecretId"])
    version = version_of(secret, request.get("VersionId", ""), request.get("VersionStage", ""))
    binding = secret_binding(secret.name, version.version_id)
    value = await unseal(context, version.sealed, binding, "DecryptionFailure")
    content: Document = {"SecretBinary": value} if version.is_binary else {"SecretString": value.decode()}
    return (
        _head(context.account, secret)
        | content
        | {
            "VersionId": version.version_id,
            "VersionStages": list(version.stages),
            "CreatedDate": seconds(version.created_at_ms),
        }
    )


async def describe_secret(context: Context, call: Call, request: Document) -> Document:
    secret = await _find(context, request["SecretId"])
    return _described(context.account, secret) | _stages(secret, "VersionIdsToStages")


async def list_secrets(context: Context, call: Call, request: Document) -> Document:
    """By name by default; a filter's value matches what begins with it, `!` before it what does not."""
    limit = request.get("MaxResults", MAX_PAGE)
    if not 1 <= limit <= MAX_PAGE:
        raise _invalid(f"MaxResults must be between 1 and {MAX_PAGE}, got {limit}.")
    sort_by, order = request.get("SortBy", "name"), request.get("SortOrder", "asc")
    if sort_by not in SORT_KEYS or order not in ("asc", "desc"):
        raise _invalid(f"SortBy must be one of {', '.join(SORT_KEYS)}, and SortOrder asc or desc.")
    filters = _filters(request.get("Filters", []))
    wants_deleted = request.get("IncludePlannedDeletion", False)
    after = _read_token(request.get("NextToken"), sort_by, order)

    def work() -> tuple[list[Secret], bool]:
        kept = [
            secret
            for secret in every(context, SECRET)
            if (wants_deleted or not secret.gone_at_ms) and all(matches(secret) for matches in filters)
        ]
        kept.sort(key=lambda secret: _place(secret, sort_by), reverse=order == "desc")
        if after is not None:
            kept = [s for s in kept if (_place(s, sort_by) < after if order == "desc" else _place(s, sort_by) > after)]
        return kept[:limit], len(kept) > limit

    page, goes_on = await context.read(work)
    answer: Document = {
        "SecretList": [
            _described(context.account, secret) | _stages(secret, "SecretVersionsToStages") for secret in page
        ]
    }
    if goes_on:
        answer["NextToken"] = _token(_place(page[-1], sort_by), sort_by, order)
    return answer


async def delete_secret(context: Context, call: Call, request: Document) -> Document:
    is_forced, days = request.get("ForceDeleteWithoutRecovery", False), request.get("RecoveryWindowInDays")
    if is_forced and days is not None:
        raise _invalid("You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.")
    low, high = RECOVERY_DAYS
    if days is not None and not low <= days <= high:
        raise _invalid(f"The RecoveryWindowInDays value must be between {low} and {high} days (inclusive), got {days}.")
    secret = await _find(context, request["SecretId"])
    recovery_ms = 0 if is_forced else (days or DEFAULT_RECOVERY_DAYS) * DAY_MS
    deleted = await context.ask(commands.DeleteSecret(secret.name, recovery_ms))
    return _head(context.account, deleted) | {"DeletionDate": seconds(deleted.gone_at_ms)}


async def restore_secret(context: Context, call: Call, request: Document) -> Document:
    secret = await _find(context, request["SecretId"])
    await context.ask(commands.RestoreSecret(secret.name))
    return _head(context.account, secret)


async def get_resource_policy(context: Context, call: Call, request: Document) -> Document:
    """Without a policy, as Secrets Manager answers for a secret that has none. Terraform asks for each secret."""
    return _head(context.account, await _find(context, request["SecretId"]))


async def tag_resource(context: Context, call: Call, request: Document) -> Document:
    tags = tags_of(request["Tags"], _invalid)
    secret = await _find(context, request["SecretId"])
    await context.ask(commands.TagResource(SECRET, secret.name, tags))
    return {}


async def untag_resource(context: Context, call: Call, request: Document) -> Document:
    keys = tag_keys_of(request["TagKeys"], _invalid)
    secret = await _find(context, request["SecretId"])
    await context.ask(commands.UntagResource(SECRET, secret.name, keys))
    return {}


# -- what comes in --


async def _find(context: Context, secret_id: str) -> Secret:
    names = [name for name, _ in secret_names(secret_id, context.account)]
    found, _ = await context.read(context.reader.documents, SECRET, names)
    return find_secret({secret.name: secret for secret in found}, secret_id, context.account)


async def _value(context: Context, name: str, request: Document) -> SealedValue | None:
    """Returns the request's value, encrypted for the version that its token names; None when it has no value."""
    token = request.get("ClientRequestToken") or context.new_uuid()
    low, high = TOKEN_CHARACTERS_RANGE
    if not low <= len(token) <= high:
        raise _invalid(f"ClientRequestToken must have {low} to {high} characters, got {len(token)}.")
    if "SecretString" in request and "SecretBinary" in request:
        raise _invalid("You can't specify both a binary secret value and a string secret value in the same secret.")
    is_binary = "SecretBinary" in request
    if not is_binary and "SecretString" not in request:
        return None
    value: bytes = request["SecretBinary"] if is_binary else request["SecretString"].encode()
    if not 1 <= len(value) <= MAX_VALUE_BYTES:
        raise _invalid(f"The secret value must have 1 to {MAX_VALUE_BYTES} bytes, got {len(value)}.")
    binding = secret_binding(name, token)
    return await seal(context, value, binding, token, "EncryptionFailure", is_binary=is_binary)


def _refuse_unbuilt(request: Document, *members: str) -> None:
    for member in members:
        if request.get(member):
            raise _invalid(f"{member} is not built here: leave it out.")


def _check_description(request: Document) -> None:
    size = len(request.get("Description", ""))
    if size > MAX_DESCRIPTION:
        raise _invalid(f"Description must have at most {MAX_DESCRIPTION} characters, got {size}.")


def _filters(entries: list[Document]) -> list[Callable[[Secret], bool]]:
    if len(entries) > MAX_FILTERS:
        raise _invalid(f"There must be at most {MAX_FILTERS} Filters, got {len(entries)}.")
    return [_filter(entry) for entry in entries]


def _filter(entry: Document) -> Callable[[Secret], bool]:
    key, values = entry.get("Key", ""), entry.get("Values", [])
    if key not in FILTERS:
        raise _invalid(f"A filter's Key must be one of {', '.join(FILTERS)}, got {quoted(key)!r}.")
    if not 1 <= len(values) <= MAX_FILTERS:
        raise _invalid(f"A filter must have 1 to {MAX_FILTERS} Values, got {len(values)}.")

    def matches(secret: Secret) -> bool:
        texts = [text.lower() for text in FILTERS[key](secret)]
        return any(_begins(texts, value.lower()) for value in values)

    return matches


def _begins(texts: list[str], value: str) -> bool:
    if value.startswith("!"):
        return not any(text.startswith(value[1:]) for text in texts)
    return any(text.startswith(value) for text in texts)


def _place(secret: Secret, sort_by: str) -> tuple[Any, str]:
    return SORT_KEYS[sort_by](secret), secret.name


def _token(place: tuple[Any, str], sort_by: str, order: str) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode((sort_by, order, *place))).decode()


def _read_token(token: str | None, sort_by: str, order: str) -> tuple[Any, str] | None:
    if token is None:
        return None
    try:
        kind = tuple[str, str, str | int, str]
        by, direction, value, name = msgspec.json.decode(base64.urlsafe_b64decode(token), type=kind)
    except (binascii.Error, ValueError, msgspec.DecodeError):
        by, direction, value, name = "", "", 0, ""
    if (by, direction) != (sort_by, order) or isinstance(value, str) != (sort_by == "name"):
        raise Refused("NextToken must be the one of the same list's earlier answer.", "InvalidNextTokenException")
    return value, name


# -- what goes out --


def _head(account: Account, secret: Secret) -> Document:
    return {"ARN": account.secret_arn(secret.name, secret.suffix), "Name": secret.name}


def _versioned(account: Account, answer: VersionedSecret) -> Document:
    document = _head(account, answer.secret)
    return document | {"VersionId": answer.version_id} if answer.version_id else document


def _described(account: Account, secret: Secret) -> Document:
    document = _head(account, secret) | {
        "CreatedDate": seconds(secret.created_at_ms),
        "LastChangedDate": seconds(secret.changed_at_ms),
        "Tags": tag_list(secret.tags),
    }
    if secret.description:
        document["Description"] = secret.description
    if secret.kms_key_id:
        document["KmsKeyId"] = secret.kms_key_id
    if secret.gone_at_ms:
        document["DeletedDate"] = seconds(secret.deleted_at_ms)
    return document


def _stages(secret: Secret, member: str) -> Document:
    """Returns the labels of each version as `member`; without the member where the secret has no value yet, as on
    AWS."""
    stages = {version.version_id: list(version.stages) for version in secret.versions if version.stages}
    return {member: stages} if stages else {}


def _invalid(message: str) -> Refused:
    return Refused(message, "InvalidParameterException")
