"""Definitions with their changes and form, and the pages that are lists alone."""

import pytest

from batchyard.console.pages.resources import LISTINGS
from batchyard.console.site import PageRequest
from tests.api.service import container
from tests.console.site import READER, VISITOR, Console, header_of, links_of, text_of

HOSTILE = "<script>alert('x')</script>"


def test_definitions_are_listed_with_what_they_run(yard: Console) -> None:
    text = text_of(yard.get("definitions"))
    assert "sleeper 1 container busybox sleep 60" in text
    assert (
        header_of(yard.ask(PageRequest("definitions/sleeper", VISITOR)), "location") == "/console/definitions/sleeper/1"
    )
    assert yard.ask(PageRequest("definitions/none", VISITOR)).status == 404
    assert yard.ask(PageRequest("definitions/sleeper/7", VISITOR)).status == 404


def test_two_revisions_are_compared(yard: Console) -> None:
    yard.register(containerProperties=container(command=["sleep", "61"]))
    page = yard.get("definitions/sleeper/2", against="1")
    assert "&#34;60&#34;" in page.partition("<del>")[2].partition("</del>")[0]
    assert "&#34;61&#34;" in page.partition("<ins>")[2].partition("</ins>")[0]
    assert "both say the same" in text_of(yard.get("definitions/sleeper/1", against="1"))


def test_a_definition_is_run_from_its_form(yard: Console) -> None:
    yard.register("greet", parameters={"who": "me"}, containerProperties=container(command=["echo", "Ref::who"]))
    page = yard.get("definitions/greet/1/submit")
    assert "who=me" in page
    form = {"name": "hello", "queue": "default", "definition": "greet:1", "parameters": "who=you"}
    done = yard.post("definitions/greet/1/submit", **form)
    detail = yard.detail(header_of(done, "location").rpartition("/")[2])
    assert (detail["jobName"], detail["parameters"]) == ("hello", {"who": "you"})
    refused = yard.post("definitions/greet/1/submit", **(form | {"queue": "none"}))
    assert refused.status == 400
    assert 'role="alert"' in refused.body.decode()
    assert "Run it…" not in yard.get("definitions/greet/1", READER)


@pytest.mark.parametrize("kind", LISTINGS)
def test_empty_lists_say_what_makes_a_first_one(console: Console, kind: str) -> None:
    text = text_of(console.get(kind))
    assert LISTINGS[kind].title in text
    assert LISTINGS[kind].question in text
    assert f"/console/{kind}" in links_of(console.get("more"))


def test_lists_show_what_there_is(yard: Console) -> None:
    arn = yard.client("sns").create_topic(Name="failures")["TopicArn"]
    yard.client("sns").subscribe(TopicArn=arn, Protocol="https", Endpoint="https://example.com/a?b=<c>")
    yard.client("events").put_rule(Name="ends", EventPattern='{"source":["aws.batch"]}', Description=HOSTILE)
    yard.client("secretsmanager").create_secret(Name="token", SecretString="very hidden")
    alarm = {"AlarmName": "late", "Namespace": "x", "MetricName": "y", "Statistic": "Sum", "Period": 60}
    limits = {"EvaluationPeriods": 1, "Threshold": 1.0, "ComparisonOperator": "GreaterThanThreshold"}
    yard.client("cloudwatch").put_metric_alarm(**alarm, **limits)
    job_id = yard.submit()
    yard.start(job_id)
    assert "failures" in text_of(yard.get("topics"))
    assert "failures https" in text_of(yard.get("subscriptions"))
    rules = yard.get("rules")
    assert "ends ENABLED" in text_of(rules)
    assert HOSTILE not in rules
    secrets = yard.get("secrets")
    assert "token" in text_of(secrets)
    assert "very hidden" not in secrets
    assert "late INSUFFICIENT_DATA" in text_of(yard.get("alarms"))
    assert "/aws/batch/job" in text_of(yard.get("log-groups"))


def test_the_doctor_names_what_is_lacking(console: Console) -> None:
    assert "Nothing is lacking" in text_of(console.get("doctor"))
