"""Schedule expressions (spec 7): `rate(5 minutes)`, `cron(0 2 * * ? *)`, `at(2026-11-27T10:36:00)`, and when they fire.

Times are milliseconds since the epoch. A time zone is a `tzinfo`, which the caller looks up.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from hashlib import sha256
from typing import NamedTuple

from batchyard.core.model.refusal import Refused
from batchyard.evaluators.schedules.cron import Cron, InvalidCron, parse_cron

RATE = re.compile(r"rate\((?P<count>[0-9]{1,9}) (?P<unit>minutes?|hours?|days?)\)")  # 9 digits of days fit 64 bits
AT = re.compile(r"at\(([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})\)")
CRON = re.compile(r"cron\((?! )([^()]*)(?<! )\)")
MINUTE_MS = 60_000
UNIT_MS = {"minute": MINUTE_MS, "hour": 60 * MINUTE_MS, "day": 24 * 60 * MINUTE_MS}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_MS = 7_289_568_000_000  # the beginning of 2201: AWS's years end with 2199


class InvalidSchedule(ValueError):
    """A text that is no schedule expression. Its argument is the reason, in our words."""


class Rate(NamedTuple):
    period_ms: int


class At(NamedTuple):
    """One time, local to the zone that the schedule has."""

    local: datetime


Schedule = Rate | Cron | At


def parse_schedule(expression: str) -> Schedule:
    """Returns a schedule of EventBridge Scheduler. Raises InvalidSchedule."""
    if found := RATE.fullmatch(expression):
        count, unit = int(found["count"]), found["unit"]
        if count < 1 or (count == 1) is unit.endswith("s"):
            raise InvalidSchedule("a rate is of at least 1, and its unit is singular for 1 alone")
        return Rate(count * UNIT_MS[unit.removesuffix("s")])
    if found := CRON.fullmatch(expression):
        try:
            return parse_cron(found[1])
        except InvalidCron as error:
            raise InvalidSchedule(str(error)) from error
    if found := AT.fullmatch(expression):
        try:
            return At(datetime.fromisoformat(found[1]))
        except ValueError as error:
            raise InvalidSchedule(str(error)) from error
    raise InvalidSchedule("neither rate(5 minutes) nor cron(0 2 * * ? *) nor at(2026-11-27T10:36:00)")


def parse_rule_schedule(expression: str) -> Schedule:
    """Returns the schedule of a rule, which knows no `at`. Raises Refused with AWS's text."""
    try:
        schedule = parse_schedule(expression)
    except InvalidSchedule as error:
        raise Refused("Parameter ScheduleExpression is not valid.", "ValidationException") from error
    if isinstance(schedule, At):
        raise Refused("Parameter ScheduleExpression is not valid.", "ValidationException")
    return schedule


def parse_scheduler_expression(expression: str) -> Schedule:
    """Returns the schedule of an EventBridge Scheduler. Raises Refused with AWS's text."""
    try:
        return parse_schedule(expression)
    except InvalidSchedule as error:
        raise Refused(f"Invalid Schedule Expression {expression}.", "ValidationException") from error


# -- when it fires --


class FireTimes(NamedTuple):
    """A schedule in its zone. `anchor_ms`: when it was made or enabled, from which a rate counts; a recurring schedule
    fires from `start_ms` to `end_ms`, both included."""

    schedule: Schedule
    zone: tzinfo = UTC
    anchor_ms: int = 0
    start_ms: int | None = None
    end_ms: int | None = None

    def next_fire(self, after_ms: int) -> int | None:
        """Returns the first time after `after_ms`, or None where there is none any more."""
        if isinstance(self.schedule, At):
            at_ms = _epoch_ms(self.schedule.local.replace(tzinfo=self.zone))
            return at_ms if at_ms > after_ms else None
        if self.start_ms is not None:
            after_ms = max(after_ms, self.start_ms - 1)
        fires_at_ms = next_fire(self.schedule, after_ms, zone=self.zone, anchor_ms=self.anchor_ms)
        if fires_at_ms is None or (self.end_ms is not None and fires_at_ms > self.end_ms):
            return None
        return fires_at_ms

    def latest_fire(self, after_ms: int, until_ms: int) -> int | None:
        """Returns the last time after `after_ms` and up to `until_ms`: of all that were missed, the one to make up."""
        first = self.next_fire(after_ms)
        if first is None or first > until_ms:
            return None
        # The next time after `low` is still due, that after `high` is not.
        low, high = after_ms, until_ms
        while high - low > 1:
            middle = (low + high) // 2
            following = self.next_fire(middle)
            if following is not None and following <= until_ms:
                low = middle
            else:
                high = middle
        return self.next_fire(low)


def next_fire(schedule: Rate | Cron, after_ms: int, *, zone: tzinfo = UTC, anchor_ms: int = 0) -> int | None:
    """Returns the first time of a recurring schedule after `after_ms`.

    A cron expression skips a local time that does not exist, and runs once in an hour that comes twice (spec 7.3)."""
    if isinstance(schedule, Rate):
        passed = max(0, (after_ms - anchor_ms) // schedule.period_ms)
        return anchor_ms + (passed + 1) * schedule.period_ms
    if not 0 <= after_ms < LAST_MS:
        after_ms = max(0, min(after_ms, LAST_MS))
    local = (EPOCH + timedelta(milliseconds=after_ms)).astimezone(zone).replace(tzinfo=None)
    for candidate in schedule.after(local):
        at_ms = _epoch_ms(candidate.replace(tzinfo=zone))
        if at_ms > after_ms and _exists(candidate, zone):
            return at_ms
    return None


def _exists(local: datetime, zone: tzinfo) -> bool:
    return local.replace(tzinfo=zone).astimezone(UTC).astimezone(zone).replace(tzinfo=None) == local


def _epoch_ms(at: datetime) -> int:
    return (at - EPOCH) // timedelta(milliseconds=1)


def flexible_delay_ms(schedule_arn: str, at_ms: int, window_minutes: int) -> int:
    """Returns how long after `at_ms` a schedule with a flexible window fires: the same for the same schedule and time,
    so that a restart does not fire twice."""
    if window_minutes <= 0:
        return 0
    digest = sha256(f"{schedule_arn} {at_ms}".encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") % (window_minutes * MINUTE_MS)


def with_context(text: str, *, schedule_arn: str, scheduled_ms: int, execution_id: str, attempt: int) -> str:
    """Returns the input of a schedule's target with its context attributes replaced."""
    scheduled = (EPOCH + timedelta(milliseconds=scheduled_ms)).strftime("%Y-%m-%dT%H:%M:%SZ")
    for name, value in (
        ("schedule-arn", schedule_arn),
        ("scheduled-time", scheduled),
        ("execution-id", execution_id),
        ("attempt-number", str(attempt)),
    ):
        text = text.replace(f"<aws.scheduler.{name}>", value)
    return text
