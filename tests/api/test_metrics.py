"""CloudWatch's metrics, called by boto3."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from batchyard.core.model.refusal import Refused
from tests.api.service import START_MS, Service

NOW = datetime.fromtimestamp(START_MS / 1000, UTC)
MINUTE = NOW.replace(second=0, microsecond=0)
TOO_MANY = (
    "You have requested up to 86400 datapoints, which exceeds the limit of 1440. You may reduce the datapoints "
    "requested by increasing Period, or decreasing the time range."
)
HOST = [{"Name": "Host", "Value": "a"}]


def at(minutes: float) -> datetime:
    """A time so many minutes before the current minute."""
    return MINUTE - timedelta(minutes=minutes)


def put(service: Service, *data: dict[str, Any], namespace: str = "App") -> None:
    service.client("cloudwatch").put_metric_data(Namespace=namespace, MetricData=list(data))


def statistics(service: Service, name: str = "Load", **members: Any) -> list[dict[str, Any]]:
    request = {
        "Namespace": "App",
        "MetricName": name,
        "StartTime": at(60),
        "EndTime": at(-1),
        "Period": 60,
        **({} if "ExtendedStatistics" in members else {"Statistics": ["Sum"]}),
    } | members
    found = service.client("cloudwatch").get_metric_statistics(**request)
    assert found["Label"] == name
    return sorted(found["Datapoints"], key=lambda point: (point["Timestamp"], point["Unit"]))


def query(identifier: str, name: str = "Load", stat: str = "Sum", **members: Any) -> dict[str, Any]:
    metric = {"Namespace": "App", "MetricName": name}
    period = members.pop("Period", 60)
    dimensions = members.pop("Dimensions", None)
    if dimensions is not None:
        metric["Dimensions"] = dimensions
    unit = {"Unit": members.pop("Unit")} if "Unit" in members else {}
    return {"Id": identifier, "MetricStat": {"Metric": metric, "Period": period, "Stat": stat, **unit}} | members


def data(service: Service, *queries: dict[str, Any], **members: Any) -> list[dict[str, Any]]:
    answer = service.client("cloudwatch").get_metric_data(
        MetricDataQueries=list(queries), StartTime=at(60), EndTime=at(-1), **members
    )
    return list(answer["MetricDataResults"])


def refusal(call: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call()
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


# -- PutMetricData and GetMetricStatistics --


def test_values_values_with_counts_and_statistic_sets_come_together(service: Service) -> None:
    put(service, {"MetricName": "Load", "Value": 2.0, "Timestamp": at(5)})
    put(service, {"MetricName": "Load", "Values": [1.0, 3.0], "Counts": [2.0, 1.0], "Timestamp": at(5)})
    sets = {"SampleCount": 2.0, "Sum": 10.0, "Minimum": 4.0, "Maximum": 6.0}
    put(service, {"MetricName": "Load", "StatisticValues": sets, "Timestamp": at(5)})
    names = ["SampleCount", "Sum", "Average", "Minimum", "Maximum"]
    (point,) = statistics(service, Statistics=names)
    assert point.pop("Timestamp") == at(5)
    assert point == {"SampleCount": 6, "Sum": 17, "Average": 17 / 6, "Minimum": 1, "Maximum": 6, "Unit": "None"}


def test_dimensions_are_another_metric_and_units_are_datapoints_of_their_own(service: Service) -> None:
    put(service, {"MetricName": "Load", "Value": 1, "Timestamp": at(5), "Dimensions": HOST})
    put(service, {"MetricName": "Load", "Value": 2, "Timestamp": at(5), "Unit": "Seconds"})
    put(service, {"MetricName": "Load", "Value": 3, "Timestamp": at(5), "Unit": "Count"})
    assert [(point["Sum"], point["Unit"]) for point in statistics(service)] == [(3, "Count"), (2, "Seconds")]
    assert [point["Sum"] for point in statistics(service, Unit="Seconds")] == [2]
    assert statistics(service, Unit="Bytes") == []
    assert [point["Sum"] for point in statistics(service, Dimensions=HOST)] == [1]


def test_percentiles_come_from_values_and_a_statistic_set_has_none(service: Service) -> None:
    put(service, {"MetricName": "Load", "Values": [float(value) for value in range(101)], "Timestamp": at(5)})
    (point,) = statistics(service, ExtendedStatistics=["p50", "p99", "tm90"])
    assert point["ExtendedStatistics"]["p50"] == 50
    assert point["ExtendedStatistics"]["p99"] == 99
    sets = {"SampleCount": 2.0, "Sum": 10.0, "Minimum": 4.0, "Maximum": 6.0}
    put(service, {"MetricName": "Set", "StatisticValues": sets, "Timestamp": at(5)})
    assert statistics(service, "Set", ExtendedStatistics=["p50"]) == []


def test_periods_align_and_a_datapoint_has_the_start_of_its_period(service: Service) -> None:
    start = at(60).replace(minute=0)
    for minutes in (1, 4, 5):
        put(service, {"MetricName": "Load", "Value": 1.0, "Timestamp": start + timedelta(minutes=minutes)})
    found = statistics(service, Period=300, StartTime=start, EndTime=start + timedelta(minutes=10))
    assert [(point["Timestamp"], point["Sum"]) for point in found] == [(start, 2), (start + timedelta(minutes=5), 1)]


def test_periods_of_less_than_a_minute_need_a_resolution_of_a_second(service: Service) -> None:
    for second in (0, 5, 10, 15):
        put(
            service,
            {
                "MetricName": "Load",
                "Value": 1.0,
                "Timestamp": at(5) + timedelta(seconds=second),
                "StorageResolution": 1,
            },
        )
    found = statistics(service, Period=10, StartTime=at(6))
    assert [point["Sum"] for point in found] == [2, 2]


@pytest.mark.parametrize(
    ("members", "code", "text"),
    [
        ({"Value": 1.0, "Values": [1.0]}, "InvalidParameterCombination", "MetricData.member.1.Value and MetricData"),
        ({"Values": [1.0], "Counts": [1.0, 2.0]}, "InvalidParameterValue", "must be of the same size."),
        ({"Value": 1.0, "Timestamp": at(-130)}, "InvalidParameterValue", "MetricData.member.1.Timestamp must be"),
        ({"Value": 2.0**361}, "InvalidParameterValue", "for parameter MetricData.member.1.Value is invalid."),
        ({"Value": 1.0, "Unit": "Parsecs"}, "InvalidParameterValue", "MetricData.member.1.Unit must be a value in"),
        ({"Value": 1.0, "StorageResolution": 5}, "InvalidParameterValue", "StorageResolution must be a value in"),
        ({"Value": 1.0, "Dimensions": [*HOST, *HOST]}, "InvalidParameterValue", "has a dimension twice."),
        ({}, "MissingParameter", "is required."),
    ],
)
def test_data_that_no_metric_takes_are_refused(shared: Service, members: Any, code: str, text: str) -> None:
    found = refusal(lambda: put(shared, {"MetricName": "Load"} | members))
    assert found[0] == code
    assert text in found[1]


NO_NUMBERS = [("nan", "NaN"), ("inf", "Infinity"), ("-inf", "-Infinity"), (str(-(2.0**361)), str(-(2.0**361)))]


@pytest.mark.parametrize(("value", "text"), NO_NUMBERS)
@pytest.mark.parametrize("place", ["Value", "Values.member.2", "StatisticValues.Sum"])
def test_values_that_are_no_numbers_or_too_large_are_refused(
    shared: Service, value: str, text: str, place: str
) -> None:
    number = float(value)
    datum = {
        "Value": {"Value": number},
        "Values.member.2": {"Values": [1.0, number]},
        "StatisticValues.Sum": {
            "StatisticValues": {"SampleCount": 1, "Sum": number, "Minimum": 1, "Maximum": 1},
        },
    }[place]
    found = refusal(lambda: put(shared, {"MetricName": "Load", "Value": 1.0}, {"MetricName": "Load"} | datum))
    said = f"The value {text} for parameter MetricData.member.2.{place} is invalid."
    assert found == ("InvalidParameterValue", said)


def test_the_namespace_of_batch_is_this_services_own_and_others_of_aws_are_not(service: Service) -> None:
    datum = {"MetricName": "EstimatedCharges", "Value": 1.0}
    assert refusal(lambda: put(service, datum, namespace="AWS/Batch"))[0] == "InvalidParameterValue"
    assert refusal(lambda: put(service, datum, namespace=":App"))[0] == "InvalidParameterValue"
    put(service, datum, namespace="AWS/Billing")


@pytest.mark.parametrize(
    ("members", "code", "text"),
    [
        (
            {"StartTime": at(1440), "EndTime": MINUTE, "Period": 1},
            "InvalidParameterCombination",
            TOO_MANY,
        ),
        (
            {"StartTime": MINUTE, "EndTime": MINUTE},
            "InvalidParameterValue",
            "The parameter StartTime must be less than the parameter EndTime.",
        ),
        ({"Period": 45}, "InvalidParameterValue", "The parameter Period must be 1, 5, 10, 20, 30 or a multiple of 60"),
        ({"ExtendedStatistics": ["p101"]}, "InvalidParameterValue", "a percentile is at most 100"),
    ],
)
def test_questions_that_cannot_be_answered_are_refused(shared: Service, members: Any, code: str, text: str) -> None:
    found = refusal(lambda: statistics(shared, **members))
    assert found[0] == code
    assert text in found[1]


def test_a_question_without_a_statistic_is_refused(shared: Service) -> None:
    request = {"Namespace": "App", "MetricName": "Load", "StartTime": 0.0, "EndTime": 60.0, "Period": 60}
    with pytest.raises(Refused, match="Must specify either Statistics or ExtendedStatistics"):
        shared.call("GetMetricStatistics", request)


@pytest.mark.parametrize(("start", "end"), [(-1e308, -1e300), (1e19, 1e19 + 4096), (-5.0, 55.0)])
def test_times_far_away_have_no_data(shared: Service, start: float, end: float) -> None:
    members = {"StartTime": start, "EndTime": end}
    metric = {"Namespace": "App", "MetricName": "Load"}
    if end - start < 1e6:
        asked = metric | members | {"Period": 60, "Statistics": ["Sum"]}
        assert shared.call("GetMetricStatistics", asked)["Datapoints"] == []
    queries = [
        {"Id": "m", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}},
        {"Id": "e", "Expression": "TIME_SERIES(1) + YEAR(m)"},
    ]
    results = shared.call("GetMetricData", members | {"MetricDataQueries": queries})["MetricDataResults"]
    assert results[0]["Values"] == []


# -- GetMetricData --


def test_newest_first_unless_asked_otherwise_and_empty_without_data(service: Service) -> None:
    for minutes in (5, 4):
        put(service, {"MetricName": "Load", "Value": minutes, "Timestamp": at(minutes)})
    load, none = data(service, query("m1"), query("m2", "Other"))
    assert load["Values"] == [4, 5]
    assert load["Timestamps"] == [at(4), at(5)]
    assert load["StatusCode"] == none["StatusCode"] == "Complete"
    assert (none["Id"], none["Values"], none["Timestamps"]) == ("m2", [], [])
    assert data(service, query("m1"), ScanBy="TimestampAscending")[0]["Values"] == [5, 4]


def test_labels_have_what_differs_between_the_queries(service: Service) -> None:
    labels = [one["Label"] for one in data(service, query("a"), query("b", stat="Average"))]
    assert labels == ["Load Sum", "Load Average"]
    labels = [one["Label"] for one in data(service, query("a"), query("b", Period=300), query("c", Label="mine"))]
    assert labels == ["Load 60", "Load 300", "mine"]


def test_metrics_of_several_units_are_answered_with_the_first_and_a_message(service: Service) -> None:
    for unit in ("Seconds", "Count"):
        put(service, {"MetricName": "Load", "Value": 1.0, "Unit": unit, "Timestamp": at(5)})
    (found,) = data(service, query("m1"))
    assert found["Messages"] == [{"Code": "MultipleUnits", "Value": "Multiple units returned: '[Count, Seconds]'"}]
    assert "Messages" not in data(service, query("m1", Unit="Seconds"))[0]


def test_expressions_combine_metrics_and_only_what_is_returned_is_answered(service: Service) -> None:
    put(service, {"MetricName": "Failed", "Value": 1.0, "Timestamp": at(5)})
    put(service, {"MetricName": "Done", "Value": 3.0, "Timestamp": at(5)})
    rate = {"Id": "rate", "Expression": "100 * failed / (failed + done)", "Label": "Failure rate"}
    hidden = query("failed", "Failed", ReturnData=False), query("done", "Done", ReturnData=False)
    (found,) = data(service, rate, *hidden)
    assert (found["Id"], found["Label"], found["Values"], found["Timestamps"]) == (
        "rate",
        "Failure rate",
        [25.0],
        [at(5)],
    )
    lone = {"Id": "one", "Expression": "AVG(failed)"}
    code, text = refusal(lambda: data(service, lone, *hidden))
    assert code == "ValidationError"
    assert "Error in expression 'one'" in text
    assert refusal(lambda: data(service, {"Id": "s", "Expression": "SEARCH('{App}', 'Sum')"}))[0] == "ValidationError"


def test_pages_have_so_many_datapoints_as_were_asked_for(service: Service) -> None:
    for minutes in range(1, 6):
        for name in ("Load", "Other"):
            put(service, {"MetricName": name, "Value": minutes, "Timestamp": at(minutes)})
    client, pages, token = service.client("cloudwatch"), [], {}
    while True:
        page = client.get_metric_data(
            MetricDataQueries=[query("m1"), query("m2", "Other")],
            StartTime=at(60),
            EndTime=at(-1),
            MaxDatapoints=3,
            **token,
        )
        pages.append([(one["Id"], one["Values"], one["StatusCode"]) for one in page["MetricDataResults"]])
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert pages == [
        [("m1", [1, 2, 3], "PartialData")],
        [("m1", [4, 5], "Complete"), ("m2", [1], "PartialData")],
        [("m2", [2, 3, 4], "PartialData")],
        [("m2", [5], "Complete")],
    ]


# -- ListMetrics --


def test_metrics_are_listed_by_namespace_name_and_dimensions(service: Service) -> None:
    put(service, {"MetricName": "Load", "Value": 1.0, "Dimensions": HOST, "Unit": "Count"})
    put(service, {"MetricName": "Load", "Value": 1.0, "Dimensions": HOST})
    put(service, {"MetricName": "Load", "Value": 1.0})
    put(service, {"MetricName": "Free", "Value": 1.0}, namespace="Other")
    client = service.client("cloudwatch")
    found = client.list_metrics()["Metrics"]
    assert [(one["Namespace"], one["MetricName"], one["Dimensions"]) for one in found] == [
        ("App", "Load", []),
        ("App", "Load", HOST),
        ("Other", "Free", []),
    ]
    assert len(client.list_metrics(Dimensions=[{"Name": "Host"}])["Metrics"]) == 1
    assert client.list_metrics(Dimensions=[{"Name": "Host", "Value": "b"}])["Metrics"] == []
    assert len(client.list_metrics(Namespace="App", MetricName="Load")["Metrics"]) == 2


def test_more_than_500_metrics_come_in_pages(service: Service) -> None:
    data = [{"MetricName": f"metric-{number:03}", "Value": 1.0} for number in range(507)]
    put(service, *data)
    pages = list(service.client("cloudwatch").get_paginator("list_metrics").paginate())
    assert [len(page["Metrics"]) for page in pages] == [500, 7]
    assert [one["MetricName"] for page in pages for one in page["Metrics"]] == [one["MetricName"] for one in data]


def test_a_metric_is_listed_for_two_weeks_and_recently_active_ones_for_three_hours(service: Service) -> None:
    put(service, {"MetricName": "Load", "Value": 1.0})
    client = service.client("cloudwatch")
    service.now_ms += 5 * 3600 * 1000
    assert client.list_metrics(RecentlyActive="PT3H")["Metrics"] == []
    assert len(client.list_metrics()["Metrics"]) == 1
    service.now_ms += 15 * 86_400 * 1000
    assert client.list_metrics()["Metrics"] == []


def test_what_is_not_built_is_refused_by_name(service: Service) -> None:
    with pytest.raises(ClientError, match="EntityMetricData is not built here"):
        service.client("cloudwatch").put_metric_data(
            Namespace="App", EntityMetricData=[{"MetricData": [{"MetricName": "Load", "Value": 1.0}]}]
        )
