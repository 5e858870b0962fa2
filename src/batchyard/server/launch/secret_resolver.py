"""Reads the values of a task's secrets between the effect and the engine: they are in no record, effect or journal."""

from __future__ import annotations

from collections.abc import Iterator

from batchyard.api.context import CipherError, SecretCipher
from batchyard.core.model.records import ContainerSpec
from batchyard.core.model.refusal import Refused
from batchyard.core.model.secret_records import Secret
from batchyard.core.secrets import references
from batchyard.core.secrets.references import ParameterReference, SecretReference
from batchyard.core.secrets.secrets import INVALID_REQUEST, NOT_FOUND
from batchyard.core.state.world import World
from batchyard.core.tasks.task_spec import secret_log_options

UNABLE = "ResourceInitializationError: unable to pull secrets or registry auth: "


class UnresolvedError(Exception):
    """An attempt can't start. The text becomes its container's reason."""

    def __init__(self, container: str, reason: str) -> None:
        super().__init__(f"{UNABLE}{reason}")
        self.container = container


class Resolver:
    """Reads secrets and parameters from the machine's memory, in its thread."""

    def __init__(self, world: World, cipher: SecretCipher) -> None:
        self._world = world
        self._cipher = cipher

    def variables(self, container: ContainerSpec) -> Iterator[tuple[str, str, str]]:
        """Returns (container, variable, value) for each of its secrets. Raises UnresolvedError."""
        for variable, value_from in container.secrets:
            value = self._named(container, variable, value_from)
            if "\0" in value:
                raise UnresolvedError(
                    container.name,
                    f"{variable} from {value_from}: the value holds a NUL character, and no variable can.",
                )
            yield container.name, variable, value

    def files(self, container: ContainerSpec) -> Iterator[tuple[str, str, str, str]]:
        """Returns (container, directory, name, value) for the files of its secrets: one for each member of a secret
        that is a JSON object, else one of the whole value. Raises UnresolvedError."""
        for mount in container.mounts:
            if not mount.secret:
                continue
            try:
                members = references.files_of(self._text(self._secret(mount.secret)))
            except (Refused, CipherError) as problem:
                if mount.is_optional and isinstance(problem, Refused) and problem.code == NOT_FOUND:
                    continue
                reason = f"the volume {mount.volume} from {mount.secret}: {problem}"
                raise UnresolvedError(container.name, reason) from problem
            for name, value in members.items():
                yield container.name, mount.target, name, value

    def log_options(self, container: ContainerSpec) -> Iterator[tuple[str, str, str]]:
        """Returns (container, option, value) from the secretOptions of its logConfiguration. Raises UnresolvedError."""
        for option, value_from in secret_log_options(container.document):
            yield container.name, option, self._named(container, option, value_from)

    def _named(self, container: ContainerSpec, name: str, value_from: str) -> str:
        try:
            return self._value(value_from)
        except (Refused, CipherError) as problem:
            raise UnresolvedError(container.name, f"{name} from {value_from}: {problem}") from problem

    def registry_credentials(self, container: ContainerSpec) -> Iterator[tuple[str, str, str]]:
        """Returns (container, user, password) from its repositoryCredentials, where it has them. Raises
        UnresolvedError."""
        secret_id = container.document.get("repositoryCredentials", {}).get("credentialsParameter")
        if not secret_id:
            return
        try:
            text = self._text(self._secret(secret_id))
            user, password = (references.json_member(text, key) for key in ("username", "password"))
        except (Refused, CipherError) as problem:
            raise UnresolvedError(container.name, f"registry credentials {secret_id}: {problem}") from problem
        yield container.name, user, password

    def _value(self, value_from: str) -> str:
        reference = references.parse(value_from)
        if isinstance(reference, ParameterReference):
            return self._parameter(reference)
        text = self._text(self._secret(reference.secret_id), reference)
        return references.json_member(text, reference.json_key) if reference.json_key else text

    def _secret(self, secret_id: str) -> Secret:
        try:
            return references.find_secret(self._world.secrets, secret_id, self._world.account)
        except Refused as refusal:
            name = references.secret_names(secret_id, self._world.account)[0][0]
            raise Refused(f"{refusal.message} Set it: batchyard secrets set {name}", NOT_FOUND) from refusal

    def _text(self, secret: Secret, reference: SecretReference | None = None) -> str:
        version_id, stage = (reference.version_id, reference.stage) if reference is not None else ("", "")
        try:
            version = references.version_of(secret, version_id, stage)
        except Refused as refusal:
            if secret.versions:
                raise
            advice = f"The secret has no value yet. Set it: batchyard secrets set {secret.name}"
            raise Refused(f"{refusal.message}. {advice}", refusal.code) from refusal
        if version.is_binary:
            raise Refused(
                "the secret holds a SecretBinary, and jobs can be given a SecretString only.", INVALID_REQUEST
            )
        return self._cipher.open(version.sealed, references.secret_binding(secret.name, version.version_id)).decode()

    def _parameter(self, reference: ParameterReference) -> str:
        parameter, version = references.find_parameter(self._world.parameters, reference)
        return self._cipher.open(
            version.sealed, references.parameter_binding(parameter.name, version.value_id)
        ).decode()
