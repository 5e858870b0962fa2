"""Multi-node jobs: the main node first, then the others; the job ends with its main node (AWS Batch behaviour 8.3)."""

from typing import Any

import pytest

from batchyard.core.model import commands as c
from batchyard.core.model import reports
from batchyard.core.model.attempt_node import parse_node
from batchyard.core.model.consumable_commands import CreateConsumableResource
from batchyard.core.model.consumable_records import ConsumableType
from batchyard.core.model.reasons import StopCause
from batchyard.core.model.records import Abilities, Dependency, Status
from batchyard.core.state.node_views import node_job
from tests.core.driver import ENGINE, Driver

EXITED = "Essential container in task exited"


def gang(driver: Driver, count: int = 3, main: int = 0, **members: Any) -> str:
    driver.define_nodes(count=count, main=main, **members)
    return driver.submit("gang")


def running(driver: Driver, job: str, count: int = 3, main: int = 0) -> None:
    """All nodes run."""
    driver.started(f"{job}#{main}")
    for node in range(count):
        if node != main:
            driver.started(f"{job}#{node}")


def statuses(driver: Driver, job: str, count: int = 3) -> list[str]:
    return [node_job(driver.job(job), node).status.value for node in range(count)]


@pytest.mark.parametrize("main", [0, 2])
def test_the_main_node_starts_first_and_the_others_once_it_runs(main: int) -> None:
    driver = Driver()
    job = gang(driver, main=main)
    assert driver.placed() == [f"{job}#{main}"]
    assert driver.status(job) is Status.STARTING
    driver.started(f"{job}#{main}")
    assert driver.placed() == [f"{job}#{node}" for node in range(3)]
    assert driver.status(job) is Status.RUNNING
    assert sorted(statuses(driver, job)) == ["RUNNING", "STARTING", "STARTING"]


def test_the_job_ends_with_its_main_node_and_the_others_are_stopped() -> None:
    driver = Driver()
    job = gang(driver)
    running(driver, job)
    driver.exited(f"{job}#0")
    assert [stop.attempt_node.node for stop in driver.stops] == [1, 2]
    assert driver.status(job) is Status.RUNNING, "its last nodes still run"
    driver.exited(f"{job}#1", 143)
    driver.exited(f"{job}#2", 143)
    assert (driver.status(job), driver.job(job).status_reason) == (Status.SUCCEEDED, EXITED)
    assert statuses(driver, job) == ["SUCCEEDED", "FAILED", "FAILED"]
    assert len(driver.acknowledged) == 3


def test_the_end_of_another_node_changes_nothing() -> None:
    driver = Driver()
    job = gang(driver, retryStrategy={"attempts": 3})
    running(driver, job)
    driver.exited(f"{job}#1", 1)
    driver.exited(f"{job}#2", 0)
    assert (driver.status(job), driver.stops) == (Status.RUNNING, [])
    assert statuses(driver, job) == ["RUNNING", "FAILED", "SUCCEEDED"]
    driver.exited(f"{job}#0")
    assert driver.status(job) is Status.SUCCEEDED
    assert len(driver.job(job).past) == 1


def test_a_retry_of_the_main_node_begins_when_all_nodes_have_ended() -> None:
    driver = Driver()
    job = gang(driver, retryStrategy={"attempts": 2})
    running(driver, job)
    driver.exited(f"{job}#0", 7)
    driver.exited(f"{job}#1", 143)
    assert driver.placed() == [f"{job}#2"]
    driver.exited(f"{job}#2", 143)
    assert driver.placed() == [f"{job}#0"], "the second attempt begins with the main node"
    running(driver, job)
    (first,) = driver.job(job).past
    assert (first.exit_code, [run.exit_code for run in first.nodes]) == (7, [7, 143, 143])
    assert node_job(driver.job(job), 1).past[0].exit_code == 143


def test_a_main_node_that_does_not_start_fails_the_job_and_launches_no_other() -> None:
    driver = Driver()
    job = gang(driver)
    driver.not_started(f"{job}#0")
    assert driver.status(job) is Status.FAILED
    assert len(driver.ever_launched) == 1
    assert node_job(driver.job(job), 1).status_reason == "The job ended before this node was started."


def test_a_main_node_that_has_ended_before_its_start_was_reported_launches_no_other() -> None:
    driver = Driver()
    job = gang(driver)
    driver.exited(f"{job}#0")
    assert (driver.status(job), len(driver.ever_launched)) == (Status.SUCCEEDED, 1)


def test_terminate_reaches_every_node() -> None:
    driver = Driver()
    job = gang(driver)
    running(driver, job)
    driver.do(c.TerminateJob(job, "enough"))
    assert sorted(stop.attempt_node.node for stop in driver.stops) == [0, 1, 2]
    driver.exited(f"{job}#0", 143)
    driver.exited(f"{job}#2", 143)
    driver.exited(f"{job}#1", 143)
    assert (driver.status(job), driver.job(job).status_reason) == (Status.FAILED, "enough")


def test_terminate_before_the_main_node_runs_launches_no_other() -> None:
    driver = Driver()
    job = gang(driver)
    driver.do(c.TerminateJob(job, "enough"))
    driver.started(f"{job}#0")
    assert driver.placed() == [f"{job}#0"]
    driver.exited(f"{job}#0", 143)
    assert driver.status(job) is Status.FAILED


def test_one_timeout_is_for_all_nodes() -> None:
    driver = Driver()
    job = gang(driver, timeout={"attemptDurationSeconds": 60}, retryStrategy={"attempts": 2})
    running(driver, job)
    driver.tick(60_000)
    assert sorted(stop.attempt_node.node for stop in driver.stops) == [0, 1, 2]
    for node in (1, 2, 0):
        driver.exited(f"{job}#{node}", 143)
    assert driver.job(job).status_reason == "Job attempt duration exceeded timeout"


@pytest.mark.parametrize("attempts", [1, 2])
def test_a_lost_node_ends_the_attempt_as_its_host_did(attempts: int) -> None:
    driver = Driver()
    job = gang(driver, retryStrategy={"attempts": attempts})
    running(driver, job)
    driver.lost(f"{job}#2")
    assert sorted(stop.attempt_node.node for stop in driver.stops) == [0, 1]
    assert {stop.grace_seconds for stop in driver.stops} == {30.0}, "the others end as in any stop"
    driver.exited(f"{job}#1", 143)
    driver.exited(f"{job}#0", 143)
    if attempts == 2:
        assert driver.placed() == [f"{job}#0"]
        driver.not_started(f"{job}#0")
    first = driver.job(job).past[0]
    assert (first.is_lost, first.exit_code, first.stopping) == (True, None, StopCause.HOST)
    assert first.status_reason == f"Host EC2 (instance {driver.host.instance_id}) terminated."


def test_repeated_reports_change_nothing() -> None:
    driver = Driver()
    job = gang(driver)
    running(driver, job)
    ended = driver.launched[driver.attempt_of(f"{job}#1")].attempt_node
    driver.exited(f"{job}#1", 5)
    before = driver.job(job)
    driver.report(reports.Started(ended.attempt_id, driver.now_ms, node=1))
    driver.report(reports.Lost(ended.attempt_id, driver.now_ms, "again", node=1))
    assert driver.job(job) == before


@pytest.mark.parametrize("stopped", [False, True])
def test_a_crash_of_the_server_loses_no_node(stopped: bool) -> None:
    driver = Driver()
    job = gang(driver)
    driver.crash()
    driver.started(f"{job}#0")
    driver.crash()
    driver.started(f"{job}#1")
    if stopped:
        driver.exited(f"{job}#0")
        driver.crash()
        driver.exited(f"{job}#1", 143)
        driver.crash()
        driver.exited(f"{job}#2", 143)
    else:
        driver.exited(f"{job}#2", 1)
        driver.crash()
        driver.exited(f"{job}#1")
        driver.exited(f"{job}#0")
    assert driver.status(job) is Status.SUCCEEDED


@pytest.mark.parametrize("terminate", [True, False])
def test_a_job_is_stopped_by_the_id_of_a_node_too(terminate: bool) -> None:
    driver = Driver(vcpus=3)
    job, waiting = gang(driver), driver.submit("gang")
    running(driver, job)
    stop = c.TerminateJob if terminate else c.CancelJob
    driver.do(stop(f"{job}#3", "there is no such node"))
    assert not driver.job(job).is_withdrawn
    driver.do(stop(f"{job}#1", "enough"))
    assert (driver.job(job).is_terminated, driver.job(job).is_cancelled) == (terminate, not terminate)
    assert [one.attempt_node.node for one in driver.stops] == ([0, 1, 2] if terminate else [])
    driver.do(stop(f"{waiting}#2", "not now"))
    assert (driver.status(waiting), driver.job(waiting).status_reason) == (Status.FAILED, "not now")


def test_a_plain_job_has_no_nodes_to_stop() -> None:
    driver = Driver()
    job = driver.submit()
    driver.do(c.TerminateJob(f"{job}#0", "enough"))
    assert not driver.job(job).is_withdrawn


def test_all_places_are_given_back_together() -> None:
    driver = Driver(vcpus=4)
    job = gang(driver, count=3)
    running(driver, job)
    other = driver.submit(overrides={"resourceRequirements": [{"type": "VCPU", "value": "2"}]})
    driver.exited(f"{job}#1", 0)
    driver.exited(f"{job}#2", 0)
    assert driver.status(other) is Status.RUNNABLE
    driver.exited(f"{job}#0", 0)
    assert driver.status(other) is Status.STARTING


def test_jobs_wait_for_a_multi_node_job_and_it_waits_for_jobs() -> None:
    driver = Driver()
    before = driver.submit()
    driver.define_nodes(count=2)
    job = driver.submit("gang", depends_on=[Dependency(before)])
    after = driver.submit(depends_on=[Dependency(job)])
    assert driver.status(job) is Status.PENDING
    driver.exited(before)
    assert driver.placed() == [f"{job}#0"]
    driver.exited(f"{job}#0")
    assert driver.placed() == [after]


def test_consumables_of_nodes_are_held_by_the_job() -> None:
    driver = Driver()
    driver.do(CreateConsumableResource("licence", ConsumableType.REPLENISHABLE, 5, {}))
    needs = {"consumableResourceList": [{"consumableResource": "licence", "quantity": 2}]}
    asked = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]
    container = {"image": "busybox", "command": ["true"], "resourceRequirements": asked}
    ranges = [
        {"targetNodes": "0", "container": container},
        {"targetNodes": "1:", "container": container, "consumableResourceProperties": needs},
    ]
    driver.define_nodes(count=3, ranges=ranges)
    first, second = driver.submit("gang"), driver.submit("gang")
    assert driver.machine.world.consumables.held == {"licence": 4}
    assert driver.status(second) is Status.RUNNABLE
    driver.exited(f"{first}#0")
    assert driver.status(second) is Status.STARTING


# -- pods as nodes --


def pods(driver: Driver, **members: Any) -> str:
    """A job of three nodes: the main one, 1, has other containers than the others."""
    asked = {"resources": {"limits": {"cpu": "1", "memory": "64Mi"}}}
    one = {"image": "busybox", "command": ["true"], **asked}
    main = {"containers": [one | {"name": "a"}, one | {"name": "b"}]}
    others = {"containers": [one | {"name": "work"}], "initContainers": [one | {"name": "first"}]}
    ranges: list[dict[str, Any]] = [
        {"targetNodes": ":", "eksProperties": {"podProperties": others}},
        {"targetNodes": "1", "eksProperties": {"podProperties": main}},
    ]
    needs = {"consumableResourceList": [{"consumableResource": "licence", "quantity": 2}]}
    ranges[0]["consumableResourceProperties"] = needs
    driver.do(CreateConsumableResource("licence", ConsumableType.REPLENISHABLE, 9, {}))
    abilities = Abilities(images=True, multiple_containers=True, networks=True)
    driver.do(c.SetHost(driver.host, {ENGINE: abilities}))
    return gang(driver, main=1, ranges=ranges, **members)


def end_pod(driver: Driver, node: str, **codes: int) -> None:
    attempt_id, index = parse_node(driver.attempt_of(node))
    driver._forget(driver.attempt_of(node))
    exits = tuple(reports.ContainerExit(name, code, stopped_at_ms=driver.now_ms) for name, code in codes.items())
    driver.report(reports.Exited(attempt_id, driver.now_ms, driver.now_ms, exits, node=index))


def test_nodes_that_are_pods_take_and_know_what_is_theirs() -> None:
    driver = Driver(vcpus=4)
    job = pods(driver)
    running(driver, job, main=1)
    launches = {one.attempt_node.node: one for one in driver.launched.values()}
    names = {node: [one.name for one in launch.task.containers] for node, launch in launches.items()}
    assert names == {0: ["work", "first", "pause"], 1: ["a", "b", "pause"], 2: ["work", "first", "pause"]}
    variables, gang_of_node = dict(launches[2].environment), launches[2].gang
    assert gang_of_node is not None
    assert variables["AWS_BATCH_JOB_NODE_INDEX"] == "2"
    assert variables["AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS"] == gang_of_node.addresses[1]
    assert "AWS_BATCH_JOB_KUBERNETES_NODE_UID" in variables
    assert driver.machine.world.consumables.held == {"licence": 4}
    assert driver.status(driver.submit("gang")) is Status.RUNNABLE, "four vCPUs are taken"


@pytest.mark.parametrize(("code", "status"), [(0, Status.SUCCEEDED), (4, Status.FAILED)])
def test_any_container_of_the_main_pod_fails_the_job(code: int, status: Status) -> None:
    driver = Driver(vcpus=4)
    job = pods(driver)
    running(driver, job, main=1)
    end_pod(driver, f"{job}#0", work=9, first=0, pause=0)
    assert driver.status(job) is Status.RUNNING
    end_pod(driver, f"{job}#1", a=0, b=code, pause=137)
    end_pod(driver, f"{job}#2", work=143, first=0, pause=0)
    assert driver.status(job) is status
    assert [node_job(driver.job(job), node).past[-1].exit_code for node in range(3)] == [9, code, 143]
    ended = node_job(driver.job(job), 2).past[-1].containers
    assert {one.name: one.exit_code for one in ended} == {"work": 143, "first": 0}
