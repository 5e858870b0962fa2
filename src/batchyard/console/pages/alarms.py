"""One alarm: what it watches against its threshold, how its state came about, and what can be done with it."""

from __future__ import annotations

from typing import Any

import msgspec

from batchyard.console.charts import KINDS, Chart, chart_of, points_of
from batchyard.console.rendering import render
from batchyard.console.site import Answer, NotFound, PageRequest, Site, redirect, url_of
from batchyard.core.model.refusal import Refused
from batchyard.wire.messages import Document

MONITORING = "monitoring"
STATES = ("OK", "ALARM", "INSUFFICIENT_DATA")
DRAWN_PERIODS = 120
MIN_DRAWN_SECONDS = 3 * 3600
HISTORY_ITEMS = 50


async def show(site: Site, request: PageRequest) -> Answer:
    alarm = await _find(site, request, request.query.get("name", ""))
    asked = {"AlarmName": alarm["AlarmName"], "MaxRecords": HISTORY_ITEMS}
    history = (await site.call(request.visitor, MONITORING, "DescribeAlarmHistory", asked))["AlarmHistoryItems"]
    return render(
        site,
        request,
        "alarm.html",
        alarm=alarm,
        states=STATES,
        history=[(item, _changed(item)) for item in history],
        chart=await _chart(site, request, alarm),
        metric=_metric(alarm),
    )


async def _find(site: Site, request: PageRequest, name: str) -> Document:
    asked = {"AlarmNames": [name], "AlarmTypes": ["MetricAlarm", "CompositeAlarm"]} if name else {"MaxRecords": 1}
    answer = await site.call(request.visitor, MONITORING, "DescribeAlarms", asked)
    found: list[Document] = [*answer.get("MetricAlarms", []), *answer.get("CompositeAlarms", [])] if name else []
    if not found:
        raise NotFound(f"The alarm {name!r} does not exist.")
    return found[0]


def _metric(alarm: Document) -> Document:
    """Returns the parameters of the page of metrics that shows what an alarm of one metric watches."""
    if "MetricName" not in alarm:
        return {}
    dimensions = ",".join(f"{one['Name']}={one['Value']}" for one in alarm.get("Dimensions", []))
    statistic = alarm.get("Statistic") or alarm.get("ExtendedStatistic", "")
    return {
        "namespace": alarm["Namespace"],
        "name": alarm["MetricName"],
        "dimension": dimensions,
        "statistic": statistic,
    }


async def _chart(site: Site, request: PageRequest, alarm: Document) -> Chart | None:
    if site.context.metrics is None or "AlarmRule" in alarm:
        return None
    period = alarm.get("Period") or max((_period(one) for one in alarm.get("Metrics", [])), default=60)
    end_s = site.now_ms() // 1000 // period * period + period
    start_s = end_s - max(MIN_DRAWN_SECONDS, DRAWN_PERIODS * period)
    metric = {name: alarm[name] for name in ("Namespace", "MetricName", "Dimensions") if name in alarm}
    stat = {"Metric": metric, "Period": period, "Stat": alarm.get("Statistic") or alarm.get("ExtendedStatistic")}
    queries = alarm.get("Metrics") or [{"Id": "m", "MetricStat": stat}]
    asked = {"MetricDataQueries": queries, "StartTime": start_s, "EndTime": end_s}
    try:
        answer = await site.call(request.visitor, MONITORING, "GetMetricData", asked)
    except Refused:  # of a metric that nothing can be read of, as an expression over what is gone
        return None
    name = alarm.get("MetricName", "")
    results = list(zip(answer["MetricDataResults"], KINDS, strict=False))
    lines = [(name or one["Label"], kind, points_of(one)) for one, kind in results]
    return chart_of(lines, start_s, end_s, alarm.get("Threshold"))


def _period(query: Document) -> int:
    return int(query.get("Period") or query.get("MetricStat", {}).get("Period", 60))


def _changed(item: Document) -> tuple[str, str]:
    """Returns the states before and after a change of an alarm's state; empty: it is none."""
    if item["HistoryItemType"] != "StateUpdate":
        return "", ""
    data: Any = msgspec.json.decode(item["HistoryData"])
    return data.get("oldState", {}).get("stateValue", ""), data.get("newState", {}).get("stateValue", "")


# -- writes --


async def set_state(site: Site, request: PageRequest) -> Answer:
    form = request.form
    state = form.get("state", "")
    asked = {
        "AlarmName": form.get("name", ""),
        "StateValue": state,
        "StateReason": form.get("reason", "").strip() or "Set in the console",
    }
    await site.call(request.visitor, MONITORING, "SetAlarmState", asked)
    return redirect("alarm", {"name": asked["AlarmName"]})


async def ask_switch(site: Site, request: PageRequest) -> Answer:
    """The question before the actions of an alarm are switched on or off."""
    alarm = await _find(site, request, request.query.get("name", ""))
    verb = "Disable" if alarm["ActionsEnabled"] else "Enable"
    means = "Its state still changes, and no action runs." if alarm["ActionsEnabled"] else "They run from now on."
    return render(
        site,
        request,
        "confirm.html",
        heading=f"{verb} the actions of {alarm['AlarmName']}?",
        text=means,
        hidden=[("name", alarm["AlarmName"]), ("verb", verb)],
        asks_reason=False,
        reason="",
        button=f"{verb} them",
        back=url_of("alarm", {"name": alarm["AlarmName"]}),
    )


async def switch(site: Site, request: PageRequest) -> Answer:
    name = request.form.get("name", "")
    operation = "DisableAlarmActions" if request.form.get("verb") == "Disable" else "EnableAlarmActions"
    await site.call(request.visitor, MONITORING, operation, {"AlarmNames": [name]})
    return redirect("alarm", {"name": name})
