"""What callers write of alarms: checked, and made the document that is kept (observability spec 11.1, 12)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from batchyard.api.cloudwatch.metric_reading import read_queries
from batchyard.api.cloudwatch.requests import COMBINATION, MISSING, VALIDATION, dimensions_in, invalid, statistic_named
from batchyard.core.model.queue_actions import QueueAction
from batchyard.core.model.refusal import Refused
from batchyard.evaluators.alarms.evaluation import COMPARISONS, MissingData
from batchyard.evaluators.metrics.math_parser import InvalidMath
from batchyard.evaluators.metrics.metric_math import AlarmQuery, check_alarm_queries
from batchyard.store.metrics.metric_store import UNITS
from batchyard.wire.messages import Document

ACTION_LISTS = ("OKActions", "AlarmActions", "InsufficientDataActions")
MAX_ACTIONS = 5  # API: ResourceList
COMMON = ("AlarmDescription", "ActionsEnabled", *ACTION_LISTS)
METRIC_MEMBERS = ("MetricName", "Namespace", "Statistic", "ExtendedStatistic", "Dimensions", "Period", "Unit")
RULE_MEMBERS = (
    "EvaluationPeriods",
    "DatapointsToAlarm",
    "Threshold",
    "ComparisonOperator",
    "TreatMissingData",
    "EvaluateLowSampleCountPercentile",
)
BANDS = ("LessThanLowerOrGreaterThanUpperThreshold", "LessThanLowerThreshold", "GreaterThanUpperThreshold")
PERIODS = (10, 20, 30)
MAX_RANGE_SECONDS, MAX_RANGE_OF_HOURS_SECONDS = 86_400, 604_800  # API: PutMetricAlarm, EvaluationPeriods
HOUR = 3600
STATISTICS = ("SampleCount", "Average", "Sum", "Minimum", "Maximum")
STATES = ("INSUFFICIENT_DATA", "ALARM", "OK")
# Members that AWS has and that are not honoured here, with what to do instead.
NOT_BUILT = {
    "ThresholdMetricId": "anomaly detection is not built here: give a Threshold",
    "EvaluationCriteria": "PromQL is not built here: name metrics by MetricName or Metrics",
    "EvaluationInterval": "PromQL is not built here: leave it out",
    "WarmUpConfiguration": "it is not built here: leave it out",
    "ActionConfiguration": "it is not built here: leave it out",
    "ActionsSuppressor": "it is not built here: write the other alarm into the rule, as AND NOT ALARM(other)",
    "ActionsSuppressorWaitPeriod": "it is not built here: leave it out",
    "ActionsSuppressorExtensionPeriod": "it is not built here: leave it out",
}
ARN = re.compile(r"arn:[a-z-]+:(?P<service>[a-z0-9-]+):[^:]*:[^:]*:.+")
# With an account too: clients that check ARNs, such as Terraform, refuse one without.
QUEUE_ACTION = re.compile(
    r"arn:[a-z-]+:automate:[^:]*:([0-9]{12}:)?batch:(?P<action>[a-z]+):(?P<queue>[-_A-Za-z0-9]{1,128}|\*)"
)


def enum_faults(request: Document, member: str, path: str, allowed: Sequence[str]) -> list[str]:
    """Returns what is wrong with a member, or with each of its values where it is a list, in AWS's words."""
    if member not in request:
        return []
    given = request[member]
    values = (
        [(path, given)] if isinstance(given, str) else [(f"{path}.{at}.member", one) for at, one in enumerate(given, 1)]
    )
    wanted = f"satisfy enum value set: [{', '.join(allowed)}]"
    return [_fault(value, place, wanted) for place, value in values if value not in allowed]


def _least_faults(request: Document, member: str, path: str) -> list[str]:
    if request.get(member, 1) >= 1:
        return []
    return [_fault(request[member], path, "have value greater than or equal to 1")]


def _fault(value: object, path: str, wanted: str) -> str:
    return f"Value '{value}' at '{path}' failed to satisfy constraint: Member must {wanted}"


def refuse_faults(faults: Sequence[str]) -> None:
    """Refuses a request with all that is wrong with the values of its members."""
    if faults:
        noun = "error" if len(faults) == 1 else "errors"
        raise invalid(f"{len(faults)} validation {noun} detected: {'; '.join(faults)}", VALIDATION)


def check_not_built(request: Document) -> None:
    for member, remedy in NOT_BUILT.items():
        if member in request:
            raise invalid(f"{member}: {remedy}.", VALIDATION)


def common_document(request: Document) -> Document:
    """Returns the members that all alarms have. Refused: an action is none that is carried out here."""
    for member in ACTION_LISTS:
        actions = request.get(member, [])
        if len(actions) > MAX_ACTIONS:
            raise invalid(f"The collection {member} must not have a size greater than {MAX_ACTIONS}.", VALIDATION)
        for action in actions:
            _check_action(action)
    return {"ActionsEnabled": True} | {member: request[member] for member in COMMON if member in request}


def _check_action(arn: str) -> None:
    found = ARN.fullmatch(arn)
    if found is None:
        raise invalid(f"Invalid arn syntax: {arn}", VALIDATION)
    if found["service"] == "sns":
        return
    own = QUEUE_ACTION.fullmatch(arn)
    actions = [action.value for action in QueueAction]
    if own is None or own["action"] not in actions:
        raise invalid(
            f"The action {arn} is not carried out here. Actions are SNS topics, and arn:aws:automate:REGION:batch:"
            f"ACTION:QUEUE with one of {', '.join(actions)} and the name of a job queue, or * for all.",
            VALIDATION,
        )


def metric_alarm(request: Document) -> Document:
    """Returns the document of a metric alarm. Refused: it cannot be evaluated."""
    check_not_built(request)
    _check_values(request)
    window = request.get("EvaluationWindow", {})
    if "WallClockWindow" in window:
        raise invalid("EvaluationWindow: only SlidingWindow is built here.", VALIDATION)
    document = common_document(request) | _rule_of(request)
    if window:
        document["EvaluationWindow"] = window
    if "Metrics" in request:
        given = [member for member in METRIC_MEMBERS if member in request]
        if given:
            raise invalid(f"An alarm has Metrics or {given[0]}, and not both.", COMBINATION)
        document["Metrics"] = request["Metrics"]
        periods_s = _check_queries(request["Metrics"])
    else:
        document |= {member: request[member] for member in METRIC_MEMBERS if member in request}
        periods_s = _check_metric(request)
    _check_range(periods_s, request["EvaluationPeriods"])
    return document


def _check_values(request: Document) -> None:
    """Refuses values that no alarm has, all of them in one text."""
    operator = request.get("ComparisonOperator")
    if operator in BANDS:
        raise invalid(f"{operator}: anomaly detection is not built here.", VALIDATION)
    treatments = tuple(one.value for one in MissingData)
    refuse_faults(
        [
            *enum_faults(request, "ComparisonOperator", "comparisonOperator", tuple(COMPARISONS)),
            *_least_faults(request, "DatapointsToAlarm", "datapointsToAlarm"),
            *enum_faults(
                request,
                "EvaluateLowSampleCountPercentile",
                "evaluateLowSampleCountPercentile",
                ("evaluate", "ignore"),
            ),
            *_least_faults(request, "EvaluationPeriods", "evaluationPeriods"),
            *_least_faults(request, "Period", "period"),
            *enum_faults(request, "Statistic", "statistic", STATISTICS),
            *enum_faults(request, "TreatMissingData", "treatMissingData", treatments),
        ]
    )


def _rule_of(request: Document) -> Document:
    for member in ("ComparisonOperator", "EvaluationPeriods", "Threshold"):
        if member not in request:
            raise invalid(f"The parameter {member} is required.", MISSING)
    periods: int = request["EvaluationPeriods"]
    needed: int = request.get("DatapointsToAlarm", periods)
    if needed > periods:
        raise invalid(
            f"DatapointsToAlarm must be between 1 and EvaluationPeriods, which is {periods}, got {needed}.", VALIDATION
        )
    return {member: request[member] for member in RULE_MEMBERS if member in request}


def _check_metric(request: Document) -> int:
    """Returns the period of an alarm on one metric."""
    for member in ("MetricName", "Namespace", "Period"):
        if member not in request:
            raise invalid(f"The parameter {member} is required.", MISSING)
    if ("Statistic" in request) == ("ExtendedStatistic" in request):
        raise invalid("An alarm on a metric has a Statistic or an ExtendedStatistic, and not both.", COMBINATION)
    if "ExtendedStatistic" in request:
        statistic_named(request["ExtendedStatistic"])
    if request.get("Unit", UNITS[0]) not in UNITS:
        raise invalid(f"The parameter Unit must be a value in the set [{', '.join(UNITS)}].")
    dimensions_in(request.get("Dimensions", []), "Dimensions")
    _check_period(request["Period"])
    return int(request["Period"])


def _check_queries(entries: Sequence[Document]) -> int:
    """Returns the period of an alarm on metric math."""
    queries = read_queries(entries)
    asked = [
        AlarmQuery(
            query.id,
            query.expression,
            _own_period(query.metric and query.metric.period_s, query.period_s),
            query.is_returned,
        )
        for query in queries
    ]
    try:
        check_alarm_queries(asked)
    except InvalidMath as error:
        raise Refused(str(error), VALIDATION) from error
    periods = {query.period_s for query in asked if query.period_s}
    if not periods:
        raise invalid("An alarm whose expressions use no metric needs a Period.", VALIDATION)
    (period_s,) = periods
    _check_period(period_s)
    return period_s


def _own_period(of_metric: int | None, given: int) -> int | None:
    return of_metric or given or None


def _check_period(period_s: int) -> None:
    if period_s not in PERIODS and (period_s < 60 or period_s % 60):
        raise invalid(
            f"The Period of an alarm must be 10, 20, 30 or a multiple of 60 seconds, got {period_s}.", VALIDATION
        )


def _check_range(period_s: int, periods: int) -> None:
    most = MAX_RANGE_OF_HOURS_SECONDS if period_s >= HOUR else MAX_RANGE_SECONDS
    if period_s * periods > most:
        raise invalid(
            f"Metrics cannot be checked across more than {most} seconds: EvaluationPeriods times Period is "
            f"{period_s * periods}.",
            VALIDATION,
        )


def composite_alarm(request: Document) -> Document:
    """Returns the document of a composite alarm; its rule is read where its children are known."""
    check_not_built(request)
    return common_document(request) | {"AlarmRule": request["AlarmRule"]}
