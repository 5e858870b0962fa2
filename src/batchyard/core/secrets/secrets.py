"""Secrets against the world: versions, staging labels, deletion (Secrets Manager API reference).

Values come encrypted and stay so: nothing here can read one."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from batchyard.core.model import commands
from batchyard.core.model.commands import SealedValue, VersionedSecret
from batchyard.core.model.refusal import Refused
from batchyard.core.model.secret_records import Parameter, Secret, SecretVersion
from batchyard.core.secrets.document_kinds import PARAMETER, SECRET
from batchyard.core.state.world import World

CURRENT, PREVIOUS = "AWSCURRENT", "AWSPREVIOUS"
MAX_SECRETS = 10_000  # they are all in memory, for the jobs that name them; AWS allows 500,000
MAX_STAGES = 20  # of one secret (Secrets Manager quotas)
# Newest versions without a staging label that are kept: each may hold 64 KiB, and a change writes all of them.
MAX_UNLABELLED = 10

NOT_FOUND = "ResourceNotFoundException"
EXISTS = "ResourceExistsException"
INVALID_REQUEST = "InvalidRequestException"
LIMIT = "LimitExceededException"


def create(world: World, command: commands.CreateSecret) -> VersionedSecret:
    known = world.secrets.get(command.name)
    if known is not None:
        return _created_before(known, command)
    if len(world.secrets) >= MAX_SECRETS:
        raise Refused(f"There are {MAX_SECRETS} secrets already, the most there can be: delete some.", LIMIT)
    secret = Secret(
        name=command.name,
        suffix=command.suffix,
        created_at_ms=world.now_ms,
        changed_at_ms=world.now_ms,
        description=command.description,
        kms_key_id=command.kms_key_id,
        tags=command.tags,
    )
    if command.value is not None:
        secret = _with_version(secret, command.value, (CURRENT,), world.now_ms)
    put(world, secret)
    return VersionedSecret(secret, command.value.value_id if command.value is not None else "")


def _created_before(known: Secret, command: commands.CreateSecret) -> VersionedSecret:
    """Returns the answer to a request that an SDK repeats; any other request is refused, since the name is taken."""
    if known.gone_at_ms:
        raise Refused(
            "You can't create this secret because a secret with this name is already scheduled for deletion.",
            INVALID_REQUEST,
        )
    if command.value is not None and _is_there(known, command.value):
        return VersionedSecret(known, command.value.value_id)
    raise Refused(f"The operation failed because the secret {command.name} already exists.", EXISTS)


def put_value(world: World, command: commands.PutSecretValue) -> VersionedSecret:
    secret = living(world, command.name)
    if _is_there(secret, command.value):
        return VersionedSecret(secret, command.value.value_id)
    secret = _with_version(secret, command.value, command.stages or (CURRENT,), world.now_ms)
    put(world, secret)
    return VersionedSecret(secret, command.value.value_id)


def update(world: World, command: commands.UpdateSecret) -> VersionedSecret:
    secret = living(world, command.name)
    value = command.value
    if value is not None and not _is_there(secret, value):
        secret = _with_version(secret, value, (CURRENT,), world.now_ms)
    secret = replace(
        secret,
        description=secret.description if command.description is None else command.description,
        kms_key_id=secret.kms_key_id if command.kms_key_id is None else command.kms_key_id,
        changed_at_ms=world.now_ms,
    )
    put(world, secret)
    return VersionedSecret(secret, value.value_id if value is not None else "")


def delete(world: World, command: commands.DeleteSecret) -> Secret:
    """Deletes a secret. With a recovery window it is inaccessible at once, and removed at its end; without one it is
    removed now."""
    if command.recovery_ms:
        secret = replace(
            living(world, command.name), deleted_at_ms=world.now_ms, gone_at_ms=world.now_ms + command.recovery_ms
        )
        put(world, secret)
        return secret
    known = world.secrets.get(command.name)
    if known is None:
        raise _not_found()
    _remove(world, command.name)
    return replace(known, deleted_at_ms=world.now_ms, gone_at_ms=world.now_ms)


def restore_deleted(world: World, command: commands.RestoreSecret) -> Secret:
    """Undoes a deletion; a secret that was not deleted stays as it is."""
    known = world.secrets.get(command.name)
    if known is None:
        raise _not_found()
    secret = replace(known, deleted_at_ms=0, gone_at_ms=0)
    put(world, secret)
    return secret


def sweep(world: World) -> None:
    """Removes the deleted secrets whose recovery window is over."""
    over = [name for name, gone_at_ms in world.leaving_secrets.items() if gone_at_ms <= world.now_ms]
    for name in over:
        _remove(world, name)


def restore(world: World, documents: Mapping[tuple[str, str], Struct]) -> None:
    """Restores the stored secrets and parameters after a restart."""
    for (kind, name), record in documents.items():
        if kind == SECRET:
            assert isinstance(record, Secret), f"the secret {name} is a {type(record).__name__}"
            world.secrets[name] = record
            if record.gone_at_ms:
                world.leaving_secrets[name] = record.gone_at_ms
        elif kind == PARAMETER:
            assert isinstance(record, Parameter), f"the parameter {name} is a {type(record).__name__}"
            world.parameters[name] = record


def living(world: World, name: str) -> Secret:
    """Returns a secret. Refused when there is none, or it is to be deleted."""
    secret = world.secrets.get(name)
    if secret is None:
        raise _not_found()
    if secret.gone_at_ms:
        raise Refused(
            "You can't perform this operation on the secret because it was marked for deletion.", INVALID_REQUEST
        )
    return secret


def _not_found() -> Refused:
    return Refused("Secrets Manager can't find the specified secret.", NOT_FOUND)


def _is_there(secret: Secret, value: SealedValue) -> bool:
    """Whether a version of this id has this same value already. Another value under its id is refused."""
    found = [version for version in secret.versions if version.version_id == value.value_id]
    if not found:
        return False
    if found[0].digest != value.digest:
        raise Refused(
            f"The version {value.value_id} of the secret {secret.name} exists with another value, and versions can't "
            "be changed: use another ClientRequestToken.",
            EXISTS,
        )
    return True


def _with_version(secret: Secret, value: SealedValue, stages: tuple[str, ...], now_ms: int) -> Secret:
    """Returns the secret with one more version, which takes `stages` from the others."""
    given = dict.fromkeys(stages)
    if not secret.versions:
        given[CURRENT] = None  # whatever was asked, the first one is current
    versions = [replace(version, stages=_left(version.stages, tuple(given))) for version in secret.versions]
    versions.append(SecretVersion(value.value_id, value.sealed, value.digest, now_ms, tuple(given), value.is_binary))
    labels = [label for version in versions for label in version.stages]
    if len(labels) > MAX_STAGES:
        raise Refused(f"A secret can have at most {MAX_STAGES} staging labels; with these it would have more.", LIMIT)
    return replace(secret, versions=_kept(versions), changed_at_ms=now_ms)


def _left(stages: tuple[str, ...], taken: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the labels that an older version keeps when a new one takes some; the current one becomes the previous
    one."""
    was_current = CURRENT in stages and CURRENT in taken
    lost = {*taken, PREVIOUS} if CURRENT in taken else set(taken)
    left = tuple(stage for stage in stages if stage not in lost)
    return (*left, PREVIOUS) if was_current and PREVIOUS not in taken else left


def _kept(versions: list[SecretVersion]) -> tuple[SecretVersion, ...]:
    unlabelled = [version for version in versions if not version.stages]
    dropped = {version.version_id for version in unlabelled[: max(0, len(unlabelled) - MAX_UNLABELLED)]}
    return tuple(version for version in versions if version.version_id not in dropped)


def put(world: World, secret: Secret) -> None:
    world.secrets[secret.name] = secret
    world.changes.documents[SECRET, secret.name] = secret
    if secret.gone_at_ms:
        world.leaving_secrets[secret.name] = secret.gone_at_ms
    else:
        world.leaving_secrets.pop(secret.name, None)


def _remove(world: World, name: str) -> None:
    del world.secrets[name]
    world.leaving_secrets.pop(name, None)
    world.changes.documents[SECRET, name] = None
