"""EventBridge: events on buses, and the rules that send them to targets."""

from __future__ import annotations

from batchyard.api.events import buses, events, rules, targets
from batchyard.api.service_descriptor import ServiceDescriptor

SERVICE = ServiceDescriptor(
    name="events",
    title="EventBridge",
    is_announced=True,
    is_model_whole=True,
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
        "TestEventPattern": events.test_event_pattern,
    },
)
