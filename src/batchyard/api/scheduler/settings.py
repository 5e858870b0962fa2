"""What CreateSchedule and UpdateSchedule say of a schedule, checked (observability spec 7.3)."""

from __future__ import annotations

import re
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from batchyard.api.scheduler.requests import check_between, check_enum, invalid, unfit
from batchyard.core.model.deliveries import DeliveryPolicy
from batchyard.evaluators.schedules.expressions import LAST_MS
from batchyard.schedules.commands import ScheduleSettings
from batchyard.schedules.records import DELETE, DISABLED, ENABLED, KEEP, UTC_NAME
from batchyard.wire.messages import Document

OFF, FLEXIBLE = "OFF", "FLEXIBLE"  # API: FlexibleTimeWindowMode
MAX_WINDOW_MINUTES = 1440
MAX_RETRIES, MIN_AGE_SECONDS, MAX_AGE_SECONDS = 185, 60, 86_400  # API: RetryPolicy
ROLE_PATTERN = r"arn:aws[a-z-]*:iam::\d{12}:role\/[\w+=,.@\/-]+"
# Of templated targets that are not here.
NOT_HONOURED = (
    "EcsParameters",
    "KinesisParameters",
    "SageMakerPipelineParameters",
    "SqsParameters",
    "EventBridgePutEventsV2Parameters",
    "EventBridgePutRawEventsParameters",
)
ZONE = re.compile(r"[A-Za-z0-9_+\-]+(/[A-Za-z0-9_+\-]+)*")


def settings_of(request: Document) -> ScheduleSettings:
    """Returns the settings of a request. Expression and target are compiled, and refused, by the machine."""
    if request.get("KmsKeyArn"):
        raise invalid("KmsKeyArn is not built here: leave it out.")
    state, after = request.get("State", ENABLED), request.get("ActionAfterCompletion", KEEP)
    check_enum(state, "state", (ENABLED, DISABLED))
    check_enum(after, "actionAfterCompletion", (KEEP, DELETE))
    zone = request.get("ScheduleExpressionTimezone", UTC_NAME)
    check_zone(zone)
    _check_target(request["Target"])
    start_ms, end_ms = _ms(request, "StartDate"), _ms(request, "EndDate")
    if start_ms is not None and end_ms is not None and start_ms >= end_ms:
        raise invalid("The StartDate must be before the EndDate.")
    return ScheduleSettings(
        expression=request["ScheduleExpression"],
        target=request["Target"],
        zone=zone,
        state=state,
        description=request.get("Description", ""),
        window_minutes=_window(request["FlexibleTimeWindow"]),
        start_ms=start_ms,
        end_ms=end_ms,
        after_completion=after,
    )


def check_zone(name: str) -> None:
    """Refuses what is no name of a time zone that this machine has."""
    try:
        if not ZONE.fullmatch(name):
            raise ZoneInfoNotFoundError
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise invalid(f"Invalid Schedule Expression Timezone {name}: use a name such as Europe/Berlin.") from error


def _window(window: Document) -> int:
    """Returns the minutes of a FlexibleTimeWindow; 0: there is none."""
    mode, minutes = window["Mode"], window.get("MaximumWindowInMinutes")
    check_enum(mode, "flexibleTimeWindow.mode", (OFF, FLEXIBLE))
    if mode == OFF:
        if minutes is not None:
            raise invalid("MaximumWindowInMinutes must not be provided for a FlexibleTimeWindow with the Mode OFF.")
        return 0
    if minutes is None:
        raise invalid("MaximumWindowInMinutes must be provided for a FlexibleTimeWindow with the Mode FLEXIBLE.")
    check_between(minutes, "flexibleTimeWindow.maximumWindowInMinutes", 1, MAX_WINDOW_MINUTES)
    return int(minutes)


def _check_target(target: Document) -> None:
    for member in NOT_HONOURED:
        if member in target:
            raise invalid(f"Target.{member} is not built here: its targets are not either.")
    if "EventBridgeParameters" in target and ":event-bus/" not in target["Arn"]:
        raise invalid("Target.EventBridgeParameters are for an event bus: leave them out, or name a bus in Target.Arn.")
    if not re.fullmatch(ROLE_PATTERN, target["RoleArn"], re.ASCII):
        raise unfit(target["RoleArn"], "target.roleArn", f"satisfy regular expression pattern: {ROLE_PATTERN}")
    retry = target.get("RetryPolicy", {})
    if "MaximumRetryAttempts" in retry:
        check_between(retry["MaximumRetryAttempts"], "target.retryPolicy.maximumRetryAttempts", 0, MAX_RETRIES)
    if "MaximumEventAgeInSeconds" in retry:
        path = "target.retryPolicy.maximumEventAgeInSeconds"
        check_between(retry["MaximumEventAgeInSeconds"], path, MIN_AGE_SECONDS, MAX_AGE_SECONDS)


def target_document(target: Document) -> Document:
    """Returns a target as it was given, with the retry policy that is in force, as AWS answers it."""
    default = DeliveryPolicy()
    retry = {
        "MaximumEventAgeInSeconds": default.max_age_seconds,
        "MaximumRetryAttempts": default.max_retries,
    }
    return target | {"RetryPolicy": retry | target.get("RetryPolicy", {})}


def window_document(minutes: int) -> Document:
    return {"Mode": FLEXIBLE, "MaximumWindowInMinutes": minutes} if minutes else {"Mode": OFF}


def _ms(request: Document, member: str) -> int | None:
    """Returns a time of a request in milliseconds; None: it has none."""
    if member not in request:
        return None
    if not 0 <= request[member] * 1000 < LAST_MS:
        raise invalid(f"{member} must be a time from 1970 to 2200.")
    return int(request[member] * 1000)
