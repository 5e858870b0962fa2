"""Schedule expressions: which are accepted, and when they fire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.core.model.refusal import Refused
from batchyard.evaluators.schedules.cron import Cron, parse_cron
from batchyard.evaluators.schedules.expressions import (
    FireTimes,
    InvalidSchedule,
    Rate,
    flexible_delay_ms,
    next_fire,
    parse_rule_schedule,
    parse_schedule,
    parse_scheduler_expression,
    with_context,
)

BERLIN = ZoneInfo("Europe/Berlin")


def ms(text: str, zone: tzinfo = UTC) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1000)


def fires(expression: str, after: str, count: int = 3, zone: tzinfo = UTC) -> list[str]:
    """The next times, in UTC."""
    table = FireTimes(parse_schedule(expression), zone)
    found: list[str] = []
    at: int | None = ms(after)
    while len(found) < count:
        assert at is not None
        at = table.next_fire(at)
        if at is None:
            return [*found, "-"]
        found.append(datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S"))
    return found


@pytest.mark.parametrize(
    "expression",
    [
        "rate(1 minute)",
        "rate(5 minutes)",
        "rate(1 hour)",
        "rate(2 days)",
        "cron(0 10 * * ? *)",
        "cron(15 12 * * ? *)",
        "cron(0/15 * * * ? *)",
        "cron(*/15 * * * ? *)",
        "cron(0-59/10 0-23/2 1-31/30 * ? *)",
        "cron(8-8 8-8 30-30 * ? *)",
        "cron(0 18 ? * MON-FRI *)",
        "cron(0 18 ? * 2,3,4,5,6,7 *)",
        "cron(* * ? * SAT#3 *)",
        "cron(0 20-2 ? JAN,NOV-FEB FRI-MON *)",
        "cron(0 0 ? * 6L 2002-2005)",
        "cron(0 0 LW * ? 2022)",
        "cron(0 0 L * ? *)",
        "cron(0 0 3W * ? *)",
        "at(2022-12-31T23:59:59)",
    ],
)
def test_accepted(expression: str) -> None:
    assert parse_scheduler_expression(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "rate(1 minutes)",
        "rate(5 minute)",
        "rate( 10 minutes )",
        " rate(10 minutes)",
        "rate(10 minutes) ",
        "rate(10)",
        "rate(10 seconds)",
        "rate(-10 minutes)",
        "rate(0 minutes)",
        "rate(10  minutes)",
        "rate(٣ minutes)",
        "cron()",
        "cron(0 1 * * * *)",
        "cron(0 1 ? * ? *)",
        "cron(7 20 * * NOT *)",
        "cron(71 8 1 * ? *)",
        "cron(0 24 1 * ? *)",
        "cron(0 1 32 * ? *)",
        "cron(0 1 0 * ? *)",
        "cron(0 1 ? * 0 *)",
        "cron(0 1 ? * 8 *)",
        "cron(0 1 ? * 6#6 *)",
        "cron(0 1 ? * 2#1,3#1 *)",
        "cron(0 1 1 13 ? *)",
        "cron(0 1 1 * ? 1969)",
        "cron(0 1 1 * ? 2200)",
        "cron(0 1 1 * ?)",
        "cron(0 1 1 * ? * *)",
        "cron(30-10 1 1 * ? *)",
        "cron(0/0 1 1 * ? *)",
        "cron(0 1 1,L * ? *)",
        "at(2022-12-31)",
        "at(2022-12-31T23:59:59Z)",
        "at(2022-13-31T23:59:59)",
        "every day",
    ],
)
def test_refused(expression: str) -> None:
    with pytest.raises(Refused) as refusal:
        parse_scheduler_expression(expression)
    assert refusal.value.message == f"Invalid Schedule Expression {expression}."
    with pytest.raises(Refused) as refusal:
        parse_rule_schedule(expression)
    assert (refusal.value.code, refusal.value.message) == (
        "ValidationException",
        "Parameter ScheduleExpression is not valid.",
    )


def test_a_rule_knows_no_at() -> None:
    with pytest.raises(Refused, match="ScheduleExpression"):
        parse_rule_schedule("at(2022-12-31T23:59:59)")


# -- when --


@pytest.mark.parametrize(
    ("expression", "after", "times"),
    [
        ("cron(0 10 * * ? *)", "2026-11-27 10:00:00", ["2026-11-28 10:00:00", "2026-11-29 10:00:00"]),
        ("cron(0/25 9 * * ? *)", "2026-11-27 09:00:30", ["2026-11-27 09:25:00", "2026-11-27 09:50:00"]),
        ("cron(0 0 L * ? *)", "2027-01-31 00:00:00", ["2027-02-28 00:00:00", "2027-03-31 00:00:00"]),
        ("cron(0 0 ? * 6L *)", "2026-11-27 00:00:00", ["2026-12-25 00:00:00", "2027-01-29 00:00:00"]),
        ("cron(0 0 ? * SAT#3 *)", "2026-11-01 00:00:00", ["2026-11-21 00:00:00", "2026-12-19 00:00:00"]),
        ("cron(0 0 ? * 1#5 *)", "2026-11-01 00:00:00", ["2026-11-29 00:00:00", "2027-01-31 00:00:00"]),
        # 1 August 2026 is a Saturday (nearest: Monday the 3rd), 15 August too (Friday the 14th).
        ("cron(0 0 1W * ? *)", "2026-07-31 00:00:00", ["2026-08-03 00:00:00", "2026-09-01 00:00:00"]),
        ("cron(0 0 15W * ? *)", "2026-08-01 00:00:00", ["2026-08-14 00:00:00", "2026-09-15 00:00:00"]),
        ("cron(0 0 31W * ? *)", "2026-05-01 00:00:00", ["2026-05-29 00:00:00", "2026-07-31 00:00:00"]),
        ("cron(0 0 LW * ? *)", "2026-10-31 00:00:00", ["2026-11-30 00:00:00", "2026-12-31 00:00:00"]),
        ("cron(0 0 ? * L *)", "2026-11-27 00:00:00", ["2026-11-28 00:00:00", "2026-12-05 00:00:00"]),
        ("cron(0 0 29 2 ? *)", "2026-11-27 00:00:00", ["2028-02-29 00:00:00", "2032-02-29 00:00:00"]),
        ("cron(0 0 ? * FRI-MON *)", "2026-11-26 00:00:00", ["2026-11-27 00:00:00", "2026-11-28 00:00:00"]),
        ("cron(0 22-1/2 1 1 ? *)", "2026-11-27 00:00:00", ["2027-01-01 00:00:00", "2027-01-01 22:00:00"]),
        ("cron(0 0 30 2 ? *)", "2026-11-27 00:00:00", ["-"]),
        ("cron(0 0 1 1 ? 2002-2005)", "2026-11-27 00:00:00", ["-"]),
        ("cron(0 0 1 1 ? 2199)", "2026-11-27 00:00:00", ["2199-01-01 00:00:00", "-"]),
        ("at(2026-11-27T10:36:05)", "2026-11-27 10:36:00", ["2026-11-27 10:36:05", "-"]),
        ("at(2022-11-27T10:36:05)", "2026-11-27 10:36:00", ["-"]),
    ],
)
def test_times(expression: str, after: str, times: list[str]) -> None:
    assert fires(expression, after, len(times)) == times


def test_daylight_saving() -> None:
    # 29 March 2026: 02:00 becomes 03:00. 25 October 2026: 03:00 becomes 02:00.
    daily = "cron(30 2 * * ? *)"
    assert fires(daily, "2026-03-27 12:00", 3, BERLIN) == [
        "2026-03-28 01:30:00",
        "2026-03-30 00:30:00",  # the 29th has no 02:30
        "2026-03-31 00:30:00",
    ]
    assert fires(daily, "2026-10-24 12:00", 2, BERLIN) == ["2026-10-25 00:30:00", "2026-10-26 01:30:00"]
    half_hours = "cron(0/30 * * * ? *)"
    assert fires(half_hours, "2026-10-25 00:00", 3, BERLIN) == [
        "2026-10-25 00:30:00",  # 02:30, once
        "2026-10-25 02:00:00",  # 03:00
        "2026-10-25 02:30:00",
    ]
    # Asked within the second 02:00-03:00: its times have been.
    assert fires(half_hours, "2026-10-25 01:10", 1, BERLIN) == ["2026-10-25 02:00:00"]
    assert fires("at(2026-07-01T12:00:00)", "2026-01-01", 1, BERLIN) == ["2026-07-01 10:00:00"]


def test_rates_count_from_their_anchor() -> None:
    rate = parse_schedule("rate(5 minutes)")
    assert isinstance(rate, Rate)
    assert [next_fire(rate, after, anchor_ms=1000) for after in (0, 1000, 300_999, 301_000)] == [
        301_000,
        301_000,
        301_000,
        601_000,
    ]


def test_start_and_end() -> None:
    schedule = parse_schedule("cron(0 10 * * ? *)")
    table = FireTimes(schedule, start_ms=ms("2026-11-28 10:00"), end_ms=ms("2026-11-29 10:00"))
    assert table.next_fire(0) == ms("2026-11-28 10:00")
    assert table.next_fire(ms("2026-11-28 10:00")) == ms("2026-11-29 10:00")
    assert table.next_fire(ms("2026-11-29 10:00")) is None


def test_what_was_missed_is_made_up_by_its_last_time() -> None:
    table = FireTimes(parse_schedule("cron(0/5 10 ? NOV MON-FRI *)"))
    assert table.latest_fire(ms("2026-11-02 10:00"), ms("2026-11-29 12:00")) == ms("2026-11-27 10:55")
    assert table.latest_fire(ms("2026-11-27 10:50"), ms("2026-11-27 10:54")) is None
    assert table.latest_fire(ms("2026-11-27 10:50"), ms("2026-11-27 10:55")) == ms("2026-11-27 10:55")
    once = FireTimes(parse_schedule("at(2026-11-27T10:36:00)"))
    assert once.latest_fire(0, ms("2026-11-28 00:00")) == ms("2026-11-27 10:36")
    assert once.latest_fire(ms("2026-11-27 10:36"), ms("2026-11-28 00:00")) is None


def test_flexible_windows_choose_the_same_moment_again() -> None:
    delays = {flexible_delay_ms("arn", at, 15) for at in range(0, 50_000_000, 1_000_000)}
    assert len(delays) > 40
    assert all(0 <= delay < 15 * 60_000 for delay in delays)
    assert flexible_delay_ms("arn", 5, 15) == flexible_delay_ms("arn", 5, 15)
    assert flexible_delay_ms("arn", 5, 0) == 0


def test_context_attributes() -> None:
    text = '{"a": "<aws.scheduler.schedule-arn> <aws.scheduler.scheduled-time> <aws.scheduler.execution-id>", "n": <aws.scheduler.attempt-number>}'  # noqa: E501
    replaced = with_context(text, schedule_arn="arn:x", scheduled_ms=1000, execution_id="e", attempt=1)
    assert replaced == '{"a": "arn:x 1970-01-01T00:00:01Z e", "n": 1}'


# -- properties --

NUMBERS = st.integers(0, 59)
FIELD = st.one_of(
    st.just("*"),
    st.just("?"),
    NUMBERS.map(str),
    st.tuples(NUMBERS, NUMBERS).map(lambda pair: f"{pair[0]}-{pair[1]}"),
    st.tuples(NUMBERS, NUMBERS).map(lambda pair: f"{pair[0]}/{pair[1]}"),
    st.sampled_from(["L", "LW", "3W", "6L", "2#3", "MON", "FRI-MON", "JAN,DEC", "*/7", "2026", "2027-2030/2"]),
)


@given(st.lists(FIELD, min_size=6, max_size=6), st.integers(0, 6_000_000_000_000), st.sampled_from([UTC, BERLIN]))
def test_what_fires_is_allowed_and_the_first(fields: list[str], after_ms: int, zone: tzinfo) -> None:
    try:
        schedule = parse_schedule(f"cron({' '.join(fields)})")
    except InvalidSchedule:
        return
    assert isinstance(schedule, Cron)
    at_ms = next_fire(schedule, after_ms, zone=zone)
    if at_ms is None:
        return
    assert at_ms > after_ms
    local = datetime.fromtimestamp(at_ms / 1000, zone)
    assert local.second == 0
    assert (local.minute in schedule.minutes, local.hour in schedule.hours) == (True, True)
    assert local.day in schedule.days_of(local.year, local.month)
    assert next_fire(schedule, at_ms - 1, zone=zone) == at_ms
    # Nothing between: an hour before and after, minute by minute.
    for minute in range(max(after_ms // 60_000 + 1, at_ms // 60_000 - 60), at_ms // 60_000):
        then = datetime.fromtimestamp(minute * 60, zone)
        is_allowed = (
            then.minute in schedule.minutes
            and then.hour in schedule.hours
            and then.month in schedule.months
            and then.year in schedule.years
            and then.day in schedule.days_of(then.year, then.month)
        )
        assert not is_allowed or then.fold, then


def test_the_search_takes_at_most_one_step_a_month() -> None:
    cron = parse_cron("0 0 30 2 ? *")
    asked = []

    class Counted(Cron):
        def days_of(self, year: int, month: int) -> list[int]:
            asked.append((year, month))
            return super().days_of(year, month)

    assert list(islice(Counted(*cron).after(datetime(1970, 1, 1)), 1)) == []
    assert len(asked) == 230
    assert next(parse_cron("* * * * ? *").after(datetime(2026, 1, 1))) == datetime(2026, 1, 1) + timedelta(minutes=1)


@given(st.text("rate(cron)at0123456789 */?LW#-,minutesT:", max_size=25))
def test_any_text_is_a_schedule_or_refused(text: str) -> None:
    for expression in (text, f"cron({text})", f"rate({text})", f"at({text})"):
        try:
            parse_schedule(expression)
        except InvalidSchedule:
            continue
