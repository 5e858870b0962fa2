"""Rules of EventBridge and the tags of rules and buses (observability spec 3.3)."""

from __future__ import annotations

from batchyard.api.context import Call, Context
from batchyard.api.events.buses import find_bus
from batchyard.api.events.requests import bus_of, check_name, invalid, page, tag_keys_in, tags_in
from batchyard.core.model.refusal import Refused
from batchyard.events import commands as c
from batchyard.events.records import DEFAULT_BUS, DISABLED, ENABLED, Rule, rule_arn
from batchyard.wire.messages import Document

STATES = (ENABLED, DISABLED, "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS")  # API: RuleState


async def put_rule(context: Context, call: Call, request: Document) -> Document:
    """Name and EventPattern or ScheduleExpression -> RuleArn. A rule that exists is replaced."""
    check_name(request["Name"], "name")
    pattern, schedule = request.get("EventPattern", ""), request.get("ScheduleExpression", "")
    if not pattern and not schedule:
        raise invalid("Parameter(s) EventPattern or ScheduleExpression must be specified.")
    state = request.get("State", ENABLED)
    if state not in STATES:
        raise invalid(f"State must be one of {', '.join(STATES)}, got {state}.")
    command = c.PutRule(
        bus_of(request),
        request["Name"],
        state,
        pattern,
        schedule,
        request.get("Description", ""),
        request.get("RoleArn", ""),
        tags_in(request),
    )
    rule = await context.ask(command)
    return {"RuleArn": rule_arn(context.account, rule.bus, rule.name)}


async def describe_rule(context: Context, call: Call, request: Document) -> Document:
    rule = await find_rule(context, bus_of(request), request["Name"])
    return _detail(context, rule) | {"CreatedBy": context.account.account_id}


async def list_rules(context: Context, call: Call, request: Document) -> Document:
    """By name; NamePrefix."""
    prefix = request.get("NamePrefix", "")
    found = [rule for rule in await context.ask(c.AskRules(bus_of(request))) if rule.name.startswith(prefix)]
    return page(request, "Rules", [(rule.name, _detail(context, rule)) for rule in found])


async def list_rule_names_by_target(context: Context, call: Call, request: Document) -> Document:
    """The names of the rules of a bus that have a target with this TargetArn, sorted."""
    wanted = request["TargetArn"]
    found = [
        rule.name
        for rule in await context.ask(c.AskRules(bus_of(request)))
        if any(target.arn == wanted for target in rule.targets)
    ]
    return page(request, "RuleNames", [(name, name) for name in found])


async def enable_rule(context: Context, call: Call, request: Document) -> Document:
    await context.ask(c.SetRuleState(bus_of(request), request["Name"], ENABLED))
    return {}


async def disable_rule(context: Context, call: Call, request: Document) -> Document:
    await context.ask(c.SetRuleState(bus_of(request), request["Name"], DISABLED))
    return {}


async def delete_rule(context: Context, call: Call, request: Document) -> Document:
    """A rule with targets is refused; one that is not there is no fault, as on AWS."""
    await context.ask(c.DeleteRule(bus_of(request), request["Name"]))
    return {}


# -- tags --


async def tag_resource(context: Context, call: Call, request: Document) -> Document:
    bus, rule = _tagged(request)
    await context.ask(c.TagEvents(bus, rule, tags_in(request)))
    return {}


async def untag_resource(context: Context, call: Call, request: Document) -> Document:
    bus, rule = _tagged(request)
    await context.ask(c.TagEvents(bus, rule, removed=tag_keys_in(request)))
    return {}


async def list_tags_for_resource(context: Context, call: Call, request: Document) -> Document:
    bus, rule = _tagged(request)
    resource = await find_rule(context, bus, rule) if rule else await find_bus(context, bus)
    return {"Tags": [{"Key": key, "Value": value} for key, value in sorted(resource.tags.items())]}


def _tagged(request: Document) -> tuple[str, str]:
    """Returns the bus and the rule of a ResourceARN; the rule is empty for a bus."""
    arn = request["ResourceARN"]
    _, found, name = arn.partition(":event-bus/")
    if found:
        return name, ""
    _, found, name = arn.partition(":rule/")
    if not found:
        raise invalid(f"Parameter ResourceARN is not valid. Reason: {arn} is the ARN of no rule and no event bus.")
    bus, in_bus, rule = name.rpartition("/")
    return (bus, rule) if in_bus else (DEFAULT_BUS, name)


async def find_rule(context: Context, bus: str, name: str) -> Rule:
    for rule in await context.ask(c.AskRules(bus)):
        if rule.name == name:
            return rule
    raise Refused(f"Rule {name} does not exist on EventBus {bus}.", "ResourceNotFoundException")


def _detail(context: Context, rule: Rule) -> Document:
    members = {
        "Name": rule.name,
        "Arn": rule_arn(context.account, rule.bus, rule.name),
        "EventPattern": rule.pattern,
        "ScheduleExpression": rule.schedule,
        "State": rule.state,
        "Description": rule.description,
        "RoleArn": rule.role_arn,
        "EventBusName": rule.bus,
    }
    return {name: value for name, value in members.items() if value}
