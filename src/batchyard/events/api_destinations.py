"""The machine of API destinations and their connections (observability spec 5.5). Secrets come sealed, and are never
opened here."""

from __future__ import annotations

from typing import Any, ClassVar

from msgspec import Struct
from msgspec.structs import replace

from batchyard.core.model.commands import Command
from batchyard.core.model.documents import register
from batchyard.core.model.names import Account
from batchyard.core.model.refusal import Refused
from batchyard.machines.document_machine import CommandHandlers, DocumentMachine

MAX_CONNECTIONS, MAX_DESTINATIONS = 3_000, 3_000  # EventBridge quotas (eb-quota)
NOT_FOUND, EXISTS, LIMIT = "ResourceNotFoundException", "ResourceAlreadyExistsException", "LimitExceededException"


class Connection(Struct, frozen=True, omit_defaults=True):
    """How requests to HTTP targets are authorised. `parameters`: AuthParameters as Describe shows them, without what is
    secret; `sealed`: all of them as JSON, encrypted."""

    name: str
    uuid: str
    authorization_type: str
    parameters: dict[str, Any]
    sealed: bytes
    created_at_ms: int
    modified_at_ms: int
    authorized_at_ms: int
    description: str = ""

    @property
    def binding(self) -> str:
        """Returns what the encryption of its secrets is bound to."""
        return binding_of(self.name, self.uuid)


class ApiDestination(Struct, frozen=True, omit_defaults=True):
    """An HTTP target. `connection`: the name of its connection and its uuid, as in an ARN."""

    name: str
    uuid: str
    connection: str
    endpoint: str
    method: str
    created_at_ms: int
    modified_at_ms: int
    rate_per_second: int
    description: str = ""


CONNECTION = register("event-connection", Connection)
DESTINATION = register("api-destination", ApiDestination)


def binding_of(name: str, uuid: str) -> str:
    return f"connection/{name}/{uuid}"


def connection_arn(account: Account, connection: Connection) -> str:
    return account.arn("events", f"connection/{connection.name}/{connection.uuid}")


def destination_arn(account: Account, destination: ApiDestination) -> str:
    return account.arn("events", f"api-destination/{destination.name}/{destination.uuid}")


class CreateConnection(Command[Connection], frozen=True):
    """The times of `connection` are the machine's."""

    connection: Connection


class UpdateConnection(Command[Connection], frozen=True):
    """Replaces what is given. `sealed` and `parameters`: together; None: they stay."""

    name: str
    authorization_type: str = ""
    parameters: dict[str, Any] | None = None
    sealed: bytes = b""
    description: str | None = None


class DeleteConnection(Command[Connection], frozen=True):
    name: str


class CreateApiDestination(Command[ApiDestination], frozen=True):
    """The times of `destination` are the machine's. Refused where there is no such connection."""

    destination: ApiDestination


class UpdateApiDestination(Command[ApiDestination], frozen=True):
    """Replaces what is given; None: it stays."""

    name: str
    connection: str | None = None
    endpoint: str | None = None
    method: str | None = None
    rate_per_second: int | None = None
    description: str | None = None


class DeleteApiDestination(Command[None], frozen=True):
    name: str


class AskConnections(Command[tuple[Connection, ...]], frozen=True):
    """Asks for all connections, by name."""


class AskApiDestinations(Command[tuple[ApiDestination, ...]], frozen=True):
    """Asks for all API destinations, by name."""


class HttpRoute(Struct, frozen=True):
    """An API destination with its connection; None: that was deleted."""

    destination: ApiDestination
    connection: Connection | None


class AskHttpRoute(Command[HttpRoute | None], frozen=True):
    """Asks for the API destination of a name."""

    name: str


class AskConnection(Command[Connection | None], frozen=True):
    """Asks for the connection of a name and uuid, as in an ARN. None: there is none, or it was deleted."""

    reference: str


class ApiDestinationsMachine(DocumentMachine):
    def __init__(self) -> None:
        super().__init__()
        self._connections = self._table(CONNECTION, Connection, lambda connection: connection.name)
        self._destinations = self._table(DESTINATION, ApiDestination, lambda destination: destination.name)

    # -- connections --

    def _create_connection(self, command: CreateConnection) -> Connection:
        made = command.connection
        if made.name in self._connections:
            raise Refused(f"Connection {made.name} already exists.", EXISTS)
        if len(self._connections) >= MAX_CONNECTIONS:
            raise Refused(f"There are {MAX_CONNECTIONS} connections already, the most there can be.", LIMIT)
        now_ms = self._now_ms
        return self._connections.put(
            replace(made, created_at_ms=now_ms, modified_at_ms=now_ms, authorized_at_ms=now_ms)
        )

    def _update_connection(self, command: UpdateConnection) -> Connection:
        known = self._connection(command.name)
        if command.parameters is not None:
            known = replace(
                known,
                authorization_type=command.authorization_type or known.authorization_type,
                parameters=command.parameters,
                sealed=command.sealed,
                authorized_at_ms=self._now_ms,
            )
        if command.description is not None:
            known = replace(known, description=command.description)
        return self._connections.put(replace(known, modified_at_ms=self._now_ms))

    def _delete_connection(self, command: DeleteConnection) -> Connection:
        return self._connections.remove(self._connection(command.name).name)

    def _connection(self, name: str) -> Connection:
        refusal = f"Failed to describe the connection(s). Connection '{name}' does not exist."
        return self._connections.existing(name, refusal, NOT_FOUND)

    def _find_connection(self, reference: str) -> Connection | None:
        """Returns the connection of a name and uuid; None: it was deleted, or made anew."""
        name, _, uuid = reference.partition("/")
        known = self._connections.get(name)
        return known if known is not None and known.uuid == uuid else None

    # -- API destinations --

    def _create_destination(self, command: CreateApiDestination) -> ApiDestination:
        made = command.destination
        if made.name in self._destinations:
            raise Refused(f"An api-destination '{made.name}' already exists.", EXISTS)
        if len(self._destinations) >= MAX_DESTINATIONS:
            raise Refused(f"There are {MAX_DESTINATIONS} API destinations already, the most there can be.", LIMIT)
        self._check_connection(made.connection)
        return self._destinations.put(replace(made, created_at_ms=self._now_ms, modified_at_ms=self._now_ms))

    def _update_destination(self, command: UpdateApiDestination) -> ApiDestination:
        known = self._destination(command.name)
        if command.connection is not None:
            self._check_connection(command.connection)
        given = {
            name: value
            for name in ("connection", "endpoint", "method", "rate_per_second", "description")
            if (value := getattr(command, name)) is not None
        }
        return self._destinations.put(replace(known, modified_at_ms=self._now_ms, **given))

    def _delete_destination(self, command: DeleteApiDestination) -> None:
        self._destinations.remove(self._destination(command.name).name)

    def _destination(self, name: str) -> ApiDestination:
        refusal = f"Failed to describe the api-destination(s). An api-destination '{name}' does not exist."
        return self._destinations.existing(name, refusal, NOT_FOUND)

    def _check_connection(self, reference: str) -> None:
        if self._find_connection(reference) is None:
            raise Refused(f"Connection '{reference.partition('/')[0]}' does not exist.", NOT_FOUND)

    # -- questions --

    def _ask_connections(self, command: AskConnections) -> tuple[Connection, ...]:
        return self._connections.in_order()

    def _ask_destinations(self, command: AskApiDestinations) -> tuple[ApiDestination, ...]:
        return self._destinations.in_order()

    def _ask_route(self, command: AskHttpRoute) -> HttpRoute | None:
        destination = self._destinations.get(command.name)
        return None if destination is None else HttpRoute(destination, self._find_connection(destination.connection))

    def _ask_connection(self, command: AskConnection) -> Connection | None:
        return self._find_connection(command.reference)

    command_handlers: ClassVar[CommandHandlers] = {
        CreateConnection: _create_connection,
        UpdateConnection: _update_connection,
        DeleteConnection: _delete_connection,
        CreateApiDestination: _create_destination,
        UpdateApiDestination: _update_destination,
        DeleteApiDestination: _delete_destination,
        AskConnections: _ask_connections,
        AskApiDestinations: _ask_destinations,
        AskHttpRoute: _ask_route,
        AskConnection: _ask_connection,
    }
