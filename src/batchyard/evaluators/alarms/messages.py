"""What an alarm sends when its state changes: the message to topics, and the event (spec 13).

Alarms are documents with the members of DescribeAlarms; times are seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from batchyard.evaluators.alarms.evaluation import AlarmState
from batchyard.evaluators.alarms.reasons import iso_milliseconds
from batchyard.evaluators.json_text import minified

MAX_SUBJECT_CHARACTERS = 100  # AWS's own
DETAIL_TYPE = "CloudWatch Alarm State Change"
CONFIGURATION_DETAIL_TYPE = "CloudWatch Alarm Configuration Change"
SOURCE = "aws.cloudwatch"
# The names by which AWS's messages call regions. Others are called by their code.
REGION_NAMES = {
    "af-south-1": "Africa (Cape Town)",
    "ap-east-1": "Asia Pacific (Hong Kong)",
    "ap-northeast-1": "Asia Pacific (Tokyo)",
    "ap-northeast-2": "Asia Pacific (Seoul)",
    "ap-northeast-3": "Asia Pacific (Osaka)",
    "ap-south-1": "Asia Pacific (Mumbai)",
    "ap-south-2": "Asia Pacific (Hyderabad)",
    "ap-southeast-1": "Asia Pacific (Singapore)",
    "ap-southeast-2": "Asia Pacific (Sydney)",
    "ap-southeast-3": "Asia Pacific (Jakarta)",
    "ap-southeast-4": "Asia Pacific (Melbourne)",
    "ca-central-1": "Canada (Central)",
    "ca-west-1": "Canada West (Calgary)",
    "eu-central-1": "EU (Frankfurt)",
    "eu-central-2": "Europe (Zurich)",
    "eu-north-1": "EU (Stockholm)",
    "eu-south-1": "EU (Milan)",
    "eu-south-2": "Europe (Spain)",
    "eu-west-1": "EU (Ireland)",
    "eu-west-2": "EU (London)",
    "eu-west-3": "EU (Paris)",
    "il-central-1": "Israel (Tel Aviv)",
    "me-central-1": "Middle East (UAE)",
    "me-south-1": "Middle East (Bahrain)",
    "sa-east-1": "South America (Sao Paulo)",
    "us-east-1": "US East (N. Virginia)",
    "us-east-2": "US East (Ohio)",
    "us-west-1": "US West (N. California)",
    "us-west-2": "US West (Oregon)",
}

Alarm = Mapping[str, Any]


class StateOf(NamedTuple):
    """A state that an alarm has or had. `reason_data`: a JSON text, or empty."""

    state: AlarmState
    reason: str
    reason_data: str
    at_s: float


def region_name(region: str) -> str:
    return REGION_NAMES.get(region, region)


def subject(alarm: Alarm, state: AlarmState, region: str) -> str:
    return f'{state.value}: "{alarm["AlarmName"]}" in {region_name(region)}'[:MAX_SUBJECT_CHARACTERS]


def topic_message(
    alarm: Alarm,
    new: StateOf,
    old_state: AlarmState,
    *,
    account: str,
    region: str,
    children: Sequence[tuple[str, AlarmState, float]] = (),
) -> str:
    """Returns the text that topics get. `children`: ARN, state and time of what changed a composite alarm."""
    message: dict[str, Any] = {
        "AlarmName": alarm["AlarmName"],
        "AlarmDescription": alarm.get("AlarmDescription"),
        "AWSAccountId": account,
        "AlarmConfigurationUpdatedTimestamp": iso_milliseconds(alarm["AlarmConfigurationUpdatedTimestamp"]),
        "NewStateValue": new.state.value,
        "NewStateReason": new.reason,
        "StateChangeTime": iso_milliseconds(new.at_s),
        "Region": region_name(region),
        "AlarmArn": alarm["AlarmArn"],
        "OldStateValue": old_state.value,
        "OKActions": list(alarm.get("OKActions", ())),
        "AlarmActions": list(alarm.get("AlarmActions", ())),
        "InsufficientDataActions": list(alarm.get("InsufficientDataActions", ())),
    }
    if "AlarmRule" in alarm:
        message["AlarmRule"] = alarm["AlarmRule"]
        message["TriggeringChildren"] = [
            {"Arn": arn, "State": {"Value": state.value, "Timestamp": iso_milliseconds(at_s)}}
            for arn, state, at_s in children
        ]
    else:
        message["Trigger"] = _trigger(alarm)
    return minified(message)


def _trigger(alarm: Alarm) -> dict[str, Any]:
    trigger: dict[str, Any] = {}
    if alarm.get("Metrics"):
        trigger["Metrics"] = [_metric_query(query) for query in alarm["Metrics"]]
    else:
        is_extended = alarm.get("ExtendedStatistic") is not None
        trigger |= {
            "MetricName": alarm["MetricName"],
            "Namespace": alarm["Namespace"],
            "StatisticType": "ExtendedStatistic" if is_extended else "Statistic",
            **(
                {"ExtendedStatistic": alarm["ExtendedStatistic"]}
                if is_extended
                else {"Statistic": alarm["Statistic"].upper()}
            ),
            "Unit": alarm.get("Unit"),
            "Dimensions": _lower_dimensions(alarm.get("Dimensions", ())),
        }
    trigger |= {"Period": alarm.get("Period"), "EvaluationPeriods": alarm["EvaluationPeriods"]}
    if trigger["Period"] is None:
        del trigger["Period"]
    if alarm.get("DatapointsToAlarm") is not None:
        trigger["DatapointsToAlarm"] = alarm["DatapointsToAlarm"]
    return trigger | {
        "ComparisonOperator": alarm["ComparisonOperator"],
        "Threshold": alarm["Threshold"],
        "TreatMissingData": alarm.get("TreatMissingData") or "",
        "EvaluateLowSampleCountPercentile": alarm.get("EvaluateLowSampleCountPercentile") or "",
    }


def _lower_dimensions(dimensions: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    return [{"value": dimension["Value"], "name": dimension["Name"]} for dimension in dimensions]


def _metric_query(query: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: value for key, value in query.items() if key != "MetricStat"}
    found["ReturnData"] = query.get("ReturnData", True)
    stat = query.get("MetricStat")
    if stat is not None:
        metric = stat["Metric"]
        found["MetricStat"] = {
            "Metric": {
                "Dimensions": _lower_dimensions(metric.get("Dimensions", ())),
                "MetricName": metric["MetricName"],
                "Namespace": metric["Namespace"],
            },
            "Period": stat["Period"],
            "Stat": stat["Stat"],
        }
    return found


# -- events --


def event_detail(alarm: Alarm, new: StateOf, old: StateOf) -> dict[str, Any]:
    """Returns the detail of the event of a change of state."""
    return {
        "alarmName": alarm["AlarmName"],
        "state": _event_state(new),
        "previousState": _event_state(old),
        "configuration": configuration(alarm),
    }


def _event_state(state: StateOf) -> dict[str, Any]:
    found = {"value": state.state.value, "reason": state.reason}
    if state.reason_data:
        found["reasonData"] = state.reason_data
    return found | {"timestamp": iso_milliseconds(state.at_s)}


def configuration(alarm: Alarm) -> dict[str, Any]:
    """Returns what the events of an alarm have of its configuration."""
    found: dict[str, Any] = {}
    if alarm.get("AlarmDescription") is not None:
        found["description"] = alarm["AlarmDescription"]
    if "AlarmRule" in alarm:
        return found | {
            "alarmRule": alarm["AlarmRule"],
            "actionsEnabled": alarm.get("ActionsEnabled", True),
            "alarmName": alarm["AlarmName"],
        }
    if alarm.get("Metrics"):
        return found | {"metrics": [_event_query(query) for query in alarm["Metrics"]]}
    stat = {
        "metric": _event_metric(alarm),
        "period": alarm["Period"],
        "stat": alarm.get("Statistic") or alarm.get("ExtendedStatistic"),
    }
    return found | {"metrics": [{"id": _metric_id(alarm["AlarmArn"]), "metricStat": stat, "returnData": True}]}


def _event_metric(metric: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "namespace": metric["Namespace"],
        "name": metric["MetricName"],
        "dimensions": {dimension["Name"]: dimension["Value"] for dimension in metric.get("Dimensions", ())},
    }


def _event_query(query: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"id": query["Id"]}
    for name, member in (("expression", "Expression"), ("label", "Label"), ("period", "Period")):
        if query.get(member) is not None:
            found[name] = query[member]
    stat = query.get("MetricStat")
    if stat is not None:
        found["metricStat"] = {
            "metric": _event_metric(stat["Metric"]),
            "period": stat["Period"],
            "stat": stat["Stat"],
        }
    return found | {"returnData": query.get("ReturnData", True)}


def _metric_id(arn: str) -> str:
    """Returns the id of the one metric of an alarm, which AWS makes up: the same for the same alarm."""
    digits = sha256(arn.encode(errors="surrogatepass")).hexdigest()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:32]))
