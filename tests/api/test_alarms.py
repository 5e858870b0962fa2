"""CloudWatch's alarms, called by boto3: configuration, evaluation, states, and what follows from a change."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from batchyard.core.model.records import Status
from batchyard.core.model.refusal import Refused
from batchyard.topics import commands as topics
from tests.api.service import START_MS, Service

NOW = datetime.fromtimestamp(START_MS / 1000, UTC)
MINUTE = NOW.replace(second=0, microsecond=0)
ARN = "arn:aws:cloudwatch:us-east-1:123456789012:alarm:"
TOPIC = "arn:aws:sns:us-east-1:123456789012:ops"
CANCEL = "arn:aws:automate:us-east-1:batch:cancel:default"


def simple(**members: Any) -> dict[str, Any]:
    return {
        "AlarmName": "load",
        "MetricName": "Load",
        "Namespace": "App",
        "Statistic": "Sum",
        "Period": 60,
        "EvaluationPeriods": 1,
        "Threshold": 5.0,
        "ComparisonOperator": "GreaterThanThreshold",
    } | members


def put(service: Service, **members: Any) -> None:
    service.client("cloudwatch").put_metric_alarm(**simple(**members))


def compose(service: Service, rule: str, name: str = "both", **members: Any) -> None:
    service.client("cloudwatch").put_composite_alarm(AlarmName=name, AlarmRule=rule, **members)


def measured(service: Service, value: float, minutes: float = 1, **members: Any) -> None:
    at = MINUTE - timedelta(minutes=minutes) + timedelta(milliseconds=service.now_ms - START_MS)
    datum = {"MetricName": "Load", "Value": value, "Timestamp": at} | members
    service.client("cloudwatch").put_metric_data(Namespace="App", MetricData=[datum])


def alarm(service: Service, name: str = "load") -> dict[str, Any]:
    found = service.client("cloudwatch").describe_alarms(
        AlarmNames=[name], AlarmTypes=["MetricAlarm", "CompositeAlarm"]
    )
    (one,) = found["MetricAlarms"] + found["CompositeAlarms"]
    return dict(one)


def set_state(service: Service, state: str, name: str = "load", reason: str = "by hand") -> None:
    service.client("cloudwatch").set_alarm_state(AlarmName=name, StateValue=state, StateReason=reason)


def history(service: Service, kind: str = "", name: str = "load") -> list[dict[str, Any]]:
    members = {"HistoryItemType": kind} if kind else {}
    found = service.client("cloudwatch").describe_alarm_history(AlarmName=name, **members)
    return list(found["AlarmHistoryItems"])


def make_topic(service: Service) -> None:
    service.do(topics.CreateTopic(TOPIC))
    service.do(topics.Subscribe(TOPIC, "exec", "pager", "u", "t"))


def refusal(call: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call()
    return caught.value.response["Error"]["Code"], caught.value.response["Error"].get("Message", "")


# -- configuration --


def test_a_new_alarm_is_described_as_on_aws(service: Service) -> None:
    put(service, ActionsEnabled=True)
    found = alarm(service)
    for member in ("AlarmConfigurationUpdatedTimestamp", "StateUpdatedTimestamp", "StateTransitionedTimestamp"):
        assert found.pop(member) == NOW
    assert found == simple(
        AlarmArn=ARN + "load",
        ActionsEnabled=True,
        OKActions=[],
        AlarmActions=[],
        InsufficientDataActions=[],
        Dimensions=[],
        StateValue="INSUFFICIENT_DATA",
        StateReason="Unchecked: Initial alarm creation",
    )


def test_an_update_keeps_the_state_and_the_tags_but_nothing_of_the_configuration(service: Service) -> None:
    put(service, AlarmDescription="first", Tags=[{"Key": "team", "Value": "a"}])
    set_state(service, "ALARM")
    put(service, Threshold=1e6, Tags=[{"Key": "team", "Value": "b"}], TreatMissingData="ignore")
    found = alarm(service)
    assert (found["StateValue"], found["Threshold"]) == ("ALARM", 1e6)
    assert "AlarmDescription" not in found
    tags = service.client("cloudwatch").list_tags_for_resource(ResourceARN=ARN + "load")["Tags"]
    assert tags == [{"Key": "team", "Value": "a"}]


@pytest.mark.parametrize(
    ("members", "code", "text"),
    [
        ({"Period": 45}, "ValidationError", "must be 10, 20, 30 or a multiple of 60"),
        ({"Period": 3600, "EvaluationPeriods": 200}, "ValidationError", "across more than 604800 seconds"),
        ({"EvaluationPeriods": 2, "DatapointsToAlarm": 3}, "ValidationError", "between 1 and EvaluationPeriods"),
        ({"ComparisonOperator": "Above"}, "ValidationError", "Member must satisfy enum value set: [GreaterThanOr"),
        ({"ComparisonOperator": "LessThanLowerThreshold"}, "ValidationError", "anomaly detection is not built"),
        ({"TreatMissingData": "guess"}, "ValidationError", "[missing, ignore, breaching, notBreaching]"),
        ({"ExtendedStatistic": "p99"}, "InvalidParameterCombination", "a Statistic or an ExtendedStatistic"),
        ({"AlarmActions": ["pager"]}, "ValidationError", "Invalid arn syntax: pager"),
        ({"AlarmActions": ["arn:aws:automate:us-east-1:ec2:stop"]}, "ValidationError", "is not carried out here"),
        ({"AlarmActions": ["arn:aws:lambda:us-east-1:1:function:f"]}, "ValidationError", "is not carried out here"),
        ({"ThresholdMetricId": "ad1"}, "ValidationError", "anomaly detection is not built here"),
    ],
)
def test_alarms_that_could_not_work_are_refused(shared: Service, members: Any, code: str, text: str) -> None:
    found = refusal(lambda: put(shared, **members))
    assert found[0] == code
    assert text in found[1]


def test_math_of_alarms_has_one_result_and_one_period(service: Service) -> None:
    stat = {"Metric": {"Namespace": "App", "MetricName": "Load"}, "Period": 60, "Stat": "Sum"}
    queries = [{"Id": "m1", "MetricStat": stat, "ReturnData": False}, {"Id": "e1", "Expression": "m1 * 2"}]
    rule = {"EvaluationPeriods": 1, "Threshold": 5.0, "ComparisonOperator": "GreaterThanThreshold"}
    client = service.client("cloudwatch")
    client.put_metric_alarm(AlarmName="load", Metrics=queries, **rule)
    assert alarm(service)["Metrics"][1]["Expression"] == "m1 * 2"
    measured(service, 3.0)
    service.evaluate_alarms()
    assert alarm(service)["StateValue"] == "ALARM"
    both = [queries[0] | {"ReturnData": True}, queries[1]]
    assert "Exactly one metric" in refusal(lambda: client.put_metric_alarm(AlarmName="x", Metrics=both, **rule))[1]


def test_alarms_are_found_by_name_prefix_state_action_and_metric(service: Service) -> None:
    put(service)
    put(service, AlarmName="load-2", AlarmActions=[TOPIC], Dimensions=[{"Name": "Host", "Value": "a"}])
    compose(service, "ALARM(load)")
    client = service.client("cloudwatch")

    def names(**members: Any) -> list[str]:
        found = client.describe_alarms(**members)
        assert found["LogAlarms"] == []
        return [one["AlarmName"] for one in found["MetricAlarms"] + found["CompositeAlarms"]]

    assert names() == ["load", "load-2"]
    assert names(AlarmTypes=["CompositeAlarm"]) == ["both"]
    assert names(AlarmNamePrefix="load-") == ["load-2"]
    assert names(ActionPrefix="arn:aws:sns") == ["load-2"]
    set_state(service, "OK")
    assert names(StateValue="OK") == ["load"]
    assert names(ChildrenOfAlarmName="both") == ["load"]
    assert names(ParentsOfAlarmName="load") == ["both"]
    metric = {"Namespace": "App", "MetricName": "Load"}
    assert [one["AlarmName"] for one in client.describe_alarms_for_metric(**metric)["MetricAlarms"]] == ["load"]
    found = client.describe_alarms_for_metric(**metric, Dimensions=[{"Name": "Host", "Value": "a"}])["MetricAlarms"]
    assert [one["AlarmName"] for one in found] == ["load-2"]
    client.delete_alarms(AlarmNames=["load-2", "unknown"])
    assert names() == ["load"]


def test_tags_are_added_and_removed(service: Service) -> None:
    put(service)
    client = service.client("cloudwatch")
    client.tag_resource(ResourceARN=ARN + "load", Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    client.untag_resource(ResourceARN=ARN + "load", TagKeys=["a"])
    assert client.list_tags_for_resource(ResourceARN=ARN + "load")["Tags"] == [{"Key": "b", "Value": "2"}]
    assert refusal(lambda: client.list_tags_for_resource(ResourceARN=ARN + "x"))[0] == "ResourceNotFoundException"


# -- evaluation --


def test_a_new_alarm_is_evaluated_at_once(service: Service) -> None:
    measured(service, 21.5)
    put(service, Threshold=21.0)
    found = alarm(service)
    assert found["StateValue"] == "ALARM"
    at = (MINUTE - timedelta(minutes=1)).strftime("%d/%m/%y %H:%M:%S")
    assert found["StateReason"] == (
        f"Threshold Crossed: 1 datapoint [21.5 ({at})] was greater than the threshold (21.0)."
    )
    data = json.loads(found["StateReasonData"])
    assert (data["statistic"], data["period"], data["recentDatapoints"], data["threshold"]) == ("Sum", 60, [21.5], 21.0)
    assert data["evaluatedDatapoints"] == [
        {"timestamp": f"{MINUTE - timedelta(minutes=1):%Y-%m-%dT%H:%M:%S}.000+0000", "sampleCount": 1.0, "value": 21.5}
    ]


def test_an_alarm_follows_its_metric_and_keeps_its_state_without_a_reason_to_change(service: Service) -> None:
    put(service, TreatMissingData="notBreaching")
    assert alarm(service)["StateValue"] == "OK"
    measured(service, 6.0, 0)
    service.tick(60_000)
    service.evaluate_alarms()
    assert alarm(service)["StateValue"] == "ALARM"
    service.tick(5 * 60_000)
    service.evaluate_alarms()
    found = alarm(service)
    assert found["StateValue"] == "OK"
    changes = [item["HistorySummary"] for item in history(service, "StateUpdate")]
    assert changes == [
        "Alarm updated from ALARM to OK",
        "Alarm updated from OK to ALARM",
        "Alarm updated from INSUFFICIENT_DATA to OK",
    ]


def test_the_minute_under_way_and_other_units_do_not_count(service: Service) -> None:
    put(service, Unit="Seconds")
    measured(service, 9.0, 0, Unit="Seconds")
    measured(service, 9.0, 1, Unit="Count")
    service.evaluate_alarms()
    assert alarm(service)["StateValue"] == "INSUFFICIENT_DATA"
    service.tick(60_000)
    service.evaluate_alarms()
    assert alarm(service)["StateValue"] == "ALARM"


def test_windows_of_long_periods_slide_by_the_minute(service: Service) -> None:
    put(service, Period=300, Statistic="Sum", Threshold=5.0)
    for minutes in range(1, 7):
        measured(service, 1.2, minutes)
    service.evaluate_alarms()
    assert alarm(service)["StateValue"] == "ALARM"  # the last five minutes sum up to 6, wherever five minutes begin
    service.tick(60_000)
    service.evaluate_alarms()
    assert alarm(service)["StateValue"] == "OK"


def test_a_percentile_with_few_samples_can_be_ignored(service: Service) -> None:
    members = {"ExtendedStatistic": "p90", "EvaluateLowSampleCountPercentile": "ignore"}
    request = simple(**members)
    del request["Statistic"]
    measured(service, 9.0)
    service.client("cloudwatch").put_metric_alarm(**request)
    assert alarm(service)["StateValue"] == "INSUFFICIENT_DATA"
    service.client("cloudwatch").put_metric_alarm(**request | {"EvaluateLowSampleCountPercentile": "evaluate"})
    assert alarm(service)["StateValue"] == "ALARM"


# -- states, actions, history --


def test_a_state_set_by_hand_lasts_until_the_next_evaluation(service: Service) -> None:
    measured(service, 1.0)
    put(service)
    set_state(service, "ALARM")
    assert (alarm(service)["StateValue"], alarm(service)["StateReason"]) == ("ALARM", "by hand")
    service.evaluate_alarms()
    assert alarm(service)["StateValue"] == "OK"
    assert refusal(lambda: set_state(service, "OK", "unknown")) == ("ResourceNotFound", "")
    assert refusal(lambda: set_state(service, "INVALID"))[1] == (
        "1 validation error detected: Value 'INVALID' at 'stateValue' failed to satisfy constraint: Member must "
        "satisfy enum value set: [INSUFFICIENT_DATA, ALARM, OK]"
    )


def test_all_values_that_no_alarm_has_are_in_one_refusal(service: Service) -> None:
    wrong = {"ComparisonOperator": "Above", "EvaluationPeriods": 0, "TreatMissingData": "bad", "Statistic": "Sum"}
    with pytest.raises(Refused) as caught:
        service.call("PutMetricAlarm", simple(**wrong), service="monitoring")
    assert caught.value.code == "ValidationError"
    head, *faults = caught.value.message.replace(" detected: ", "; ").split("; ")
    assert head == "3 validation errors"
    assert [fault.split("'")[1:4:2] for fault in faults] == [
        ["Above", "comparisonOperator"],
        ["0", "evaluationPeriods"],
        ["bad", "treatMissingData"],
    ]
    assert faults[1].endswith("failed to satisfy constraint: Member must have value greater than or equal to 1")
    cloudwatch = service.client("cloudwatch")
    _, text = refusal(lambda: cloudwatch.describe_alarms(AlarmTypes=["MetricAlarm", "Odd"], StateValue="GOOD"))
    assert text.startswith("2 validation errors detected: Value 'Odd' at 'alarmTypes.2.member' failed to satisfy")
    assert "; Value 'GOOD' at 'stateValue' failed" in text
    assert "1 validation error detected" in refusal(lambda: cloudwatch.describe_alarm_history(ScanBy="Up"))[1]


def test_topics_get_a_message_on_a_change_of_state_alone(service: Service) -> None:
    make_topic(service)
    put(service, AlarmActions=[TOPIC], AlarmDescription="too much")
    set_state(service, "ALARM")
    set_state(service, "ALARM")
    set_state(service, "OK")
    (message,) = service.messages
    assert message.target["subject"] == 'ALARM: "load" in US East (N. Virginia)'
    body = json.loads(message.body)
    assert (body["NewStateValue"], body["OldStateValue"]) == ("ALARM", "INSUFFICIENT_DATA")
    assert body["Trigger"]["Statistic"] == "SUM"
    (item,) = history(service, "Action")
    assert item["HistorySummary"] == f"Successfully executed action {TOPIC}"


def test_a_topic_that_is_not_there_is_in_the_history(service: Service) -> None:
    put(service, AlarmActions=[TOPIC])
    set_state(service, "ALARM")
    assert service.messages == []
    (item,) = history(service, "Action")
    assert "Failed to execute action" in item["HistorySummary"]
    assert "does not exist" in json.loads(item["HistoryData"])["error"]


def test_disabled_actions_are_not_carried_out(service: Service) -> None:
    make_topic(service)
    put(service, AlarmActions=[TOPIC])
    client = service.client("cloudwatch")
    client.disable_alarm_actions(AlarmNames=["load"])
    set_state(service, "ALARM")
    assert not alarm(service)["ActionsEnabled"]
    assert service.messages == []
    client.enable_alarm_actions(AlarmNames=["load"])
    set_state(service, "OK")
    set_state(service, "ALARM")
    assert len(service.messages) == 1


def test_a_change_of_state_is_an_event_on_the_default_bus(service: Service) -> None:
    events = service.client("events")
    pattern = {"source": ["aws.cloudwatch"], "detail-type": ["CloudWatch Alarm State Change"]}
    events.put_rule(Name="alarms", EventPattern=json.dumps(pattern))
    target = "arn:aws:logs:us-east-1:123456789012:log-group:/events"
    events.put_targets(Rule="alarms", Targets=[{"Id": "1", "Arn": target}])
    put(service)
    set_state(service, "ALARM")
    (message,) = service.messages
    event = json.loads(message.body)
    assert event["resources"] == [ARN + "load"]
    assert event["detail"]["state"]["value"] == "ALARM"
    assert event["detail"]["previousState"]["value"] == "INSUFFICIENT_DATA"
    metric = event["detail"]["configuration"]["metrics"][0]["metricStat"]["metric"]
    assert metric == {"namespace": "App", "name": "Load", "dimensions": {}}


def test_the_history_tells_of_configuration_states_and_actions_newest_first(service: Service) -> None:
    put(service, AlarmActions=[TOPIC])
    set_state(service, "ALARM")
    service.client("cloudwatch").delete_alarms(AlarmNames=["load"])
    kinds = [item["HistoryItemType"] for item in history(service)]
    assert kinds == ["ConfigurationUpdate", "Action", "StateUpdate", "ConfigurationUpdate"]
    state = json.loads(history(service, "StateUpdate")[0]["HistoryData"])
    assert state["oldState"]["stateValue"] == "INSUFFICIENT_DATA"
    assert state["newState"] == {"stateValue": "ALARM", "stateReason": "by hand"}
    service.now_ms += 15 * 86_400_000
    assert history(service) == []


# -- composite alarms --


@pytest.fixture
def two(service: Service) -> Service:
    """With the alarms `a` and `b`, both OK."""
    for name in ("a", "b"):
        put(service, AlarmName=name)
        set_state(service, "OK", name)
    return service


def test_a_composite_alarm_follows_its_children(two: Service) -> None:
    compose(two, 'ALARM("a") AND ALARM(b)')
    assert alarm(two, "both")["StateReason"] == f"{ARN}both was created and its alarm rule evaluates to OK"
    set_state(two, "ALARM", "a")
    assert alarm(two, "both")["StateValue"] == "OK"
    set_state(two, "ALARM", "b")
    found = alarm(two, "both")
    at = NOW.strftime("%A %d %B, %Y %H:%M:%S UTC")
    assert (found["StateValue"], found["StateReason"]) == ("ALARM", f"{ARN}b transitioned to ALARM at {at}")
    (cause,) = json.loads(found["StateReasonData"])["triggeringAlarms"]
    assert (cause["arn"], cause["state"]["value"]) == (ARN + "b", "ALARM")
    set_state(two, "OK", "a")
    assert alarm(two, "both")["StateValue"] == "OK"


def test_composites_of_composites_change_together_and_act(two: Service) -> None:
    make_topic(two)
    compose(two, "ALARM(a) OR ALARM(b)", "either")
    compose(two, "NOT OK(either)", "outer", AlarmActions=[TOPIC])
    set_state(two, "ALARM", "a")
    assert alarm(two, "outer")["StateValue"] == "ALARM"
    set_state(two, "ALARM", "b")  # changes nothing any more
    (message,) = two.messages
    body = json.loads(message.body)
    assert body["AlarmRule"] == "NOT OK(either)"
    assert body["TriggeringChildren"][0]["Arn"] == ARN + "either"


def test_rules_need_children_that_are_there_and_no_circles(two: Service) -> None:
    assert refusal(lambda: compose(two, "ALARM(ghost)"))[1] == (
        "Could not save the composite alarm as alarms [ghost] in the alarm rule do not exist"
    )
    compose(two, "ALARM(a)", "one")
    compose(two, "ALARM(one)", "other")
    code, text = refusal(lambda: compose(two, "ALARM(other)", "one"))
    assert (code, text) == ("ValidationError", "The alarm rule goes round in a circle: one -> other -> one.")
    assert "is not valid" in refusal(lambda: compose(two, "ALARM(a) AND", "x"))[1]
    delete = two.client("cloudwatch").delete_alarms
    assert "depending on it: one" in refusal(lambda: delete(AlarmNames=["a"]))[1]
    delete(AlarmNames=["one", "other", "a"])


# -- actions on queues --


def test_the_billing_alarm_cancels_what_waits_and_lets_what_runs_finish(service: Service) -> None:
    request = simple(AlarmName="budget", AlarmActions=[CANCEL], Namespace="AWS/Billing", MetricName="EstimatedCharges")
    request |= {"Statistic": "Maximum", "Period": 21_600, "Threshold": 100.0, "Dimensions": [USD]}
    service.client("cloudwatch").put_metric_alarm(**request)
    running = [service.submit(retryStrategy={"attempts": 3}) for _ in range(4)]
    for job in running:
        service.start(job)
    waiting = [service.submit(), service.submit(arrayProperties={"size": 5})]
    charge = {"MetricName": "EstimatedCharges", "Value": 101.0, "Timestamp": MINUTE - timedelta(minutes=1)}
    service.client("cloudwatch").put_metric_data(Namespace="AWS/Billing", MetricData=[charge | {"Dimensions": [USD]}])
    service.evaluate_alarms()
    assert [service.detail(job)["status"] for job in waiting] == ["FAILED", "FAILED"]
    assert service.detail(waiting[0])["statusReason"].startswith("Alarm budget: Threshold Crossed: 1 datapoint")
    assert {service.detail(job)["status"] for job in running} == {"RUNNING"}
    service.end(running[0])
    service.end(running[1], exit_code=1)
    assert [service.detail(job)["status"] for job in running[:2]] == ["SUCCEEDED", "FAILED"]  # and not tried again
    (item,) = history(service, "Action", "budget")
    assert item["HistorySummary"] == f"Successfully executed action {CANCEL} (6 jobs)"


USD = {"Name": "Currency", "Value": "USD"}


@pytest.mark.parametrize("account", ["", "123456789012:"])
def test_queues_are_terminated_and_disabled_one_or_all(service: Service, account: str) -> None:
    """With an account in the ARN too, without which Terraform takes none."""
    service.make_queue("other", "elsewhere")
    prefix = f"arn:aws:automate:us-east-1:{account}batch:"
    put(service, AlarmActions=[prefix + "terminate:*", prefix + "disable:other", prefix + "cancel:ghost"])
    running, *_ = [service.submit() for _ in range(4)]
    service.start(running)
    waiting = service.submit(jobQueue="other")
    set_state(service, "ALARM")
    assert service.detail(waiting)["status"] == "FAILED"
    job = service.machine.world.jobs[service.machine.world.jobs.by_id[running]]
    assert (job.status, job.is_terminated) == (Status.RUNNING, True)
    (queue,) = service.batch.describe_job_queues(jobQueues=["other"])["jobQueues"]
    assert queue["state"] == "DISABLED"
    summaries = sorted(item["HistorySummary"] for item in history(service, "Action"))
    assert summaries == [
        f'Failed to execute action {prefix}cancel:ghost. Received error: "There is no job queue ghost."',
        f"Successfully executed action {prefix}disable:other",
        f"Successfully executed action {prefix}terminate:* (5 jobs)",
    ]
