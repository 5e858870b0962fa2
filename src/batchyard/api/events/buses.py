"""Event buses (observability spec 3.2)."""

from __future__ import annotations

from batchyard.api.context import Call, Context
from batchyard.api.events.requests import bus_of, check_name, invalid, page, tags_in
from batchyard.core.model.refusal import Refused
from batchyard.events import commands as c
from batchyard.events.records import EventBus, bus_arn
from batchyard.wire.messages import Document

MAX_BUS_NAME_LENGTH = 256  # API: EventBusName
NOT_HONOURED = ("EventSourceName", "KmsKeyIdentifier", "DeadLetterConfig", "LogConfig")


async def create_event_bus(context: Context, call: Call, request: Document) -> Document:
    """Name, Description, Tags -> EventBusArn."""
    name = request["Name"]
    _check_honoured(request)
    check_name(name[:1] if len(name) <= MAX_BUS_NAME_LENGTH else name, "name")
    if not all(part for part in name.split("/")) or name.startswith("aws."):
        raise invalid(f"Event bus name {name} must not start with aws., and has no empty parts.")
    bus = await context.ask(c.CreateEventBus(name, request.get("Description", ""), tags_in(request)))
    answer: Document = {"EventBusArn": bus_arn(context.account, bus.name)}
    return answer | ({"Description": bus.description} if bus.description else {})


async def update_event_bus(context: Context, call: Call, request: Document) -> Document:
    _check_honoured(request)
    bus = await context.ask(c.UpdateEventBus(bus_of(request, "Name"), request.get("Description", "")))
    answer: Document = {"Arn": bus_arn(context.account, bus.name), "Name": bus.name}
    return answer | ({"Description": bus.description} if bus.description else {})


async def describe_event_bus(context: Context, call: Call, request: Document) -> Document:
    return _detail(context, await find_bus(context, bus_of(request, "Name")))


async def list_event_buses(context: Context, call: Call, request: Document) -> Document:
    """By name; NamePrefix."""
    prefix = request.get("NamePrefix", "")
    found = [bus for bus in await context.ask(c.AskEventBuses()) if bus.name.startswith(prefix)]
    return page(request, "EventBuses", [(bus.name, _detail(context, bus)) for bus in found])


async def delete_event_bus(context: Context, call: Call, request: Document) -> Document:
    """One that is not there is no fault, as on AWS."""
    await context.ask(c.DeleteEventBus(bus_of(request, "Name")))
    return {}


async def find_bus(context: Context, name: str) -> EventBus:
    for bus in await context.ask(c.AskEventBuses()):
        if bus.name == name:
            return bus
    raise Refused(f"Event bus {name} does not exist.", "ResourceNotFoundException")


def _detail(context: Context, bus: EventBus) -> Document:
    document: Document = {"Name": bus.name, "Arn": bus_arn(context.account, bus.name)}
    if bus.description:
        document["Description"] = bus.description
    return document | {"CreationTime": bus.created_at_ms / 1000, "LastModifiedTime": bus.modified_at_ms / 1000}


def _check_honoured(request: Document) -> None:
    for member in NOT_HONOURED:
        if request.get(member):
            raise invalid(f"{member} is not built here: leave it out.")
