"""EventBridge: events on buses, and the rules that send them to targets."""

from __future__ import annotations

from functools import partial

from batchyard.api.events import api_destinations as http
from batchyard.api.events import buses, events, rules, targets
from batchyard.api.model_constraints import constraint_check
from batchyard.api.service_descriptor import ServiceDescriptor

# Shapes whose values are refused in words of their own.
ELSEWHERE = frozenset({"PutEventsRequestEntryList", "ConnectionArn", "NextToken", "EventSourceName", "EventPattern"})

SERVICE = ServiceDescriptor(
    name="events",
    title="EventBridge",
    is_announced=True,
    is_model_whole=True,
    compile_check=partial(constraint_check, elsewhere=ELSEWHERE),
    invalid_code="ValidationException",
    operations={
        "CreateEventBus": buses.create_event_bus,
        "UpdateEventBus": buses.update_event_bus,
        "DescribeEventBus": buses.describe_event_bus,
        "ListEventBuses": buses.list_event_buses,
        "DeleteEventBus": buses.delete_event_bus,
        "PutRule": rules.put_rule,
        "DescribeRule": rules.describe_rule,
        "ListRules": rules.list_rules,
        "ListRuleNamesByTarget": rules.list_rule_names_by_target,
        "EnableRule": rules.enable_rule,
        "DisableRule": rules.disable_rule,
        "DeleteRule": rules.delete_rule,
        "PutTargets": targets.put_targets,
        "ListTargetsByRule": targets.list_targets_by_rule,
        "RemoveTargets": targets.remove_targets,
        "TagResource": rules.tag_resource,
        "UntagResource": rules.untag_resource,
        "ListTagsForResource": rules.list_tags_for_resource,
        "PutEvents": events.put_events,
        "CreateConnection": http.create_connection,
        "UpdateConnection": http.update_connection,
        "DescribeConnection": http.describe_connection,
        "ListConnections": http.list_connections,
        "DeleteConnection": http.delete_connection,
        "CreateApiDestination": http.create_api_destination,
        "UpdateApiDestination": http.update_api_destination,
        "DescribeApiDestination": http.describe_api_destination,
        "ListApiDestinations": http.list_api_destinations,
        "DeleteApiDestination": http.delete_api_destination,
        "TestEventPattern": events.test_event_pattern,
    },
)
