"""Overview, queues and environments: is all well, whose turn is it, who uses the machine."""

import re
from typing import Any

from batchyard.console.charts import chart_of
from batchyard.console.share_usage import held_by_share
from batchyard.console.site import PageRequest
from batchyard.job_metrics.records import QueueMinute
from batchyard.server.metrics.own_metrics import data_of_minute
from tests.api.service import container
from tests.console.site import READER, VISITOR, Console, header_of, links_of, text_of

LARGE = [{"type": "VCPU", "value": "64"}, {"type": "MEMORY", "value": "512"}]


def test_a_new_service_says_what_to_do(console: Console) -> None:
    text = text_of(console.get())
    assert "No job was submitted yet" in text
    assert "batchyard run -- echo hello" in text


def test_what_failed_and_what_blocks_comes_first(yard: Console) -> None:
    yard.register("large", containerProperties=container(resourceRequirements=LARGE))
    for _ in range(3):
        job_id = yard.submit(name="clean")
        yard.start(job_id)
        yard.end(job_id, 37, "bad row")
    stuck = yard.submit("large", "huge")
    page = yard.get()
    text = text_of(page)
    assert "3 failed clean exit 37, bad row" in text
    assert "/console/jobs?state=failed&name=clean&since=1d" in links_of(page)
    assert "1 can never run in default" in text
    assert f"/console/jobs/{stuck}" in links_of(page)
    assert "FAILED 3" in text


def test_nothing_to_do_is_said_too(yard: Console) -> None:
    job_id = yard.submit()
    yard.start(job_id)
    yard.end(job_id)
    assert "Nothing needs attention" in text_of(yard.get())


def test_throughput_is_drawn_from_the_metrics(yard: Console) -> None:
    yard.submit()
    for minute in range(1, 10):
        counted = QueueMinute("default", yard.now_ms // 1000 // 60 * 60 - 60 * minute, {"JobsMovedToSucceeded": minute})
        yard.metrics.put(list(data_of_minute(counted)))
    page = yard.get()
    assert 'role="img" aria-label="Latest: succeeded 1, failed 0; at most 9"' in page
    assert page.count('class="l-a"') == 1


def test_lines_of_charts_stay_within_their_picture() -> None:
    drawn = chart_of([("a", "a", {0: 0.0, 1800: 7.0, 3600: 3.0, 9999: 1.0})], 0, 3600)
    assert drawn is not None
    places = [tuple(map(float, place.split())) for place in drawn.lines[0].d[1:].split("L")]
    assert len(places) == 3
    assert all(drawn.left <= x <= drawn.width and drawn.top <= y <= drawn.base for x, y in places)
    assert chart_of([("a", "a", {})], 0, 3600) is None


def test_a_queue_shows_whose_turn_is_next_and_what_blocks_it(yard: Console) -> None:
    yard.register(
        "wide", containerProperties=container(resourceRequirements=[{"type": "VCPU", "value": "4"}, LARGE[1]])
    )
    first, second, third = (yard.submit("wide", name) for name in ("one", "two", "three"))
    yard.start(first)
    yard.tick(120_000)
    page = yard.get("queues/default")
    assert re.findall(r'data-job="([^"]+)"', page) == [second, third]
    assert "Running 1 job, 4 vCPUs" in text_of(page)
    assert "Waiting for room 2 jobs, 8 vCPUs" in text_of(page)
    assert "two for" in text_of(yard.get("queues")), "what blocks it is named"
    assert "two blocks it for" in text_of(page)
    assert yard.ask(PageRequest("queues/none", VISITOR)).status == 404


def test_fair_shares_are_bars_with_their_weights(yard: Console) -> None:
    policy = {"shareDistribution": [{"shareIdentifier": "a*", "weightFactor": 0.5}]}
    arn = yard.call("CreateSchedulingPolicy", {"name": "fair", "fairsharePolicy": policy})["arn"]
    order = [{"order": 1, "computeEnvironment": "local"}]
    yard.call(
        "CreateJobQueue",
        {"jobQueueName": "shared", "priority": 1, "computeEnvironmentOrder": order, "schedulingPolicyArn": arn},
    )
    for share in ("ann", "ann", "bob"):
        yard.start(yard.submit(jobQueue="shared", shareIdentifier=share, schedulingPriorityOverride=1))
    yard.tick(5 * 60_000)
    for share in ("x", "ann", "x", "ann"):
        yard.submit(jobQueue="shared", shareIdentifier=share, schedulingPriorityOverride=1)
    page = yard.get("queues/shared")
    text = text_of(page)
    assert "Fair share: fair" in text
    turns = text.partition("Whose turn is next")[2].partition("vCPUs held by each share")[0]
    assert turns.index("1 of 2") < turns.index("2 of 2")
    assert 'aria-label="Latest: ann ' in page
    assert "ann 0.5 2" in text
    assert "bob 1.0 1" in text


def attempt(share: str, begin_s: int, stop_s: int, vcpus: float = 2.0) -> dict[str, Any]:
    found = {"startedAt": begin_s * 1000, "asked": {"vcpus": vcpus}, "shareIdentifier": share}
    return found | ({"stoppedAt": stop_s * 1000} if stop_s else {})


def test_what_shares_held_is_the_mean_of_each_period() -> None:
    attempts = [attempt("a", 30, 90), attempt("a", 60, 0), attempt("b", 0, 6, 10.0), attempt("c", 1000, 2000)]
    held = held_by_share(attempts, 0, 180, 60, 150_000)
    assert held == [
        ("a", {0: 1.0, 60: 3.0, 120: 1.0}), ("b", {0: 1.0, 60: 0.0, 120: 0.0}), ("c", {0: 0.0, 60: 0.0, 120: 0.0})
    ]  # fmt: skip
    many = held_by_share([attempt(f"s{number}", 0, 60, 1.0 + number) for number in range(10)], 0, 60, 60, 60_000)
    assert [name for name, _ in many] == [*(f"s{number}" for number in range(9, 2, -1)), "others"]
    assert many[-1][1] == {0: 6.0}


def test_instances_are_boxes_filled_by_jobs(yard: Console) -> None:
    job_id = yard.submit(name="nap")
    yard.start(job_id)
    page = yard.get("environments")
    assert "1 of 4 vCPUs in use" in text_of(page)
    assert f"/console/jobs/{job_id}" in links_of(page)
    assert '<rect class="f-used" x="0" width="246" height="28"/>' in page
    assert "local" in text_of(yard.get("environments/local"))
    assert yard.ask(PageRequest("environments/none", VISITOR)).status == 404


def test_a_job_of_several_nodes_fills_the_room_of_all_of_them(yard: Console) -> None:
    small = container(resourceRequirements=[{"type": "VCPU", "value": "1"}, LARGE[1]])
    ranges = [{"targetNodes": "0:2", "container": small}]
    nodes = {"numNodes": 3, "mainNode": 0, "nodeRangeProperties": ranges}
    yard.call("RegisterJobDefinition", {"jobDefinitionName": "gang", "type": "multinode", "nodeProperties": nodes})
    yard.submit("gang", "solve")
    text = text_of(yard.get("environments"))
    assert "3 of 4 vCPUs in use" in text
    assert "solve default 3 vCPUs" in text


def test_an_instance_is_interrupted_after_a_question(console: Console) -> None:
    resources = {"type": "EC2", "minvCpus": 2, "maxvCpus": 2, "instanceTypes": ["c5.large"], "subnets": ["subnet-1"]}
    resources |= {"instanceRole": "role", "securityGroupIds": ["sg-1"]}
    console.call(
        "CreateComputeEnvironment",
        {"computeEnvironmentName": "fleet", "type": "MANAGED", "computeResources": resources},
    )
    instance = console.call("ListInstances", {}, service="yard")["instances"][-1]["instanceId"]
    question = text_of(console.get(f"instances/{instance}/interrupt"))
    assert f"Interrupt {instance}?" in question
    assert console.post(f"instances/{instance}/interrupt", READER).status == 403
    assert header_of(console.post(f"instances/{instance}/interrupt"), "location") == "/console/environments"
    state = console.call("ListInstances", {}, service="yard")["instances"][-1]["state"]
    assert state in ("DRAINING", "TERMINATING")
