"""Tasks of several containers: what is merged, what runs, how one attempt of several exits ends."""

from __future__ import annotations

from typing import Any

import pytest

from batchyard.core.model import commands as c
from batchyard.core.model import reports
from batchyard.core.model.records import (
    Abilities,
    ContainerDependency,
    ContainerOutcome,
    Mount,
    Status,
    log_file_container,
)
from batchyard.core.model.refusal import Refused
from batchyard.core.model.resources import Resources
from batchyard.core.tasks import ecs_task
from tests.core.driver import ENGINE, Driver


def needs(**amounts: str) -> list[dict[str, str]]:
    return [{"type": kind, "value": value} for kind, value in amounts.items()]


def container(name: str, vcpus: str = "1", memory: str = "64", **members: Any) -> dict[str, Any]:
    given = {"name": name, "image": "busybox", "command": [name]}
    return given | {"resourceRequirements": needs(VCPU=vcpus, MEMORY=memory)} | members


def task(*containers: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"ecsProperties": {"taskProperties": [{"containers": list(containers)} | members]}}


MAIN = container("main", vcpus="2", dependsOn=[{"containerName": "side", "condition": "START"}])
SIDE = container("side", memory="16", essential=False, stopTimeout=5)


@pytest.fixture
def yard() -> Driver:
    driver = Driver(vcpus=8, gpus=4)
    driver.do(c.SetHost(driver.host, {ENGINE: Abilities(multiple_containers=True)}))
    return driver


def submit(yard: Driver, *containers: dict[str, Any], members: dict[str, Any] | None = None, **more: Any) -> str:
    name = f"several-{len(yard.machine.world.definitions)}"
    document = {"type": "container", **task(*containers, **(members or {})), **more.pop("document", {})}
    yard.do(c.RegisterJobDefinition(name, document))
    return yard.submit(name, **more)


def exits(yard: Driver, job_id: str, *containers: reports.ContainerExit) -> None:
    attempt = yard.attempt_of(job_id)
    yard._forget(attempt)
    yard.report(reports.Exited(attempt, yard.now_ms, yard.now_ms + 1, containers))


def test_overrides_and_parameters_reach_their_container_alone(yard: Driver) -> None:
    main = MAIN | {"command": ["run", "Ref::what"], "environment": [{"name": "A", "value": "1"}]}
    override = {
        "containers": [
            {"name": "main", "environment": [{"name": "B", "value": "2"}], "resourceRequirements": needs(MEMORY="128")},
            {"name": "side", "command": ["Ref::what", "else"]},
        ]
    }
    job_id = submit(yard, main, SIDE, parameters={"what": "this"}, task_override=override)
    (launch,) = yard.launched.values()
    first, second = launch.task.containers
    assert (first.command, first.environment) == (("run", "this"), (("A", "1"), ("B", "2")))
    assert (second.command, second.environment) == (("this", "else"), ())
    assert (first.resources, second.resources) == (Resources(2000, 128), Resources(1000, 16))
    assert launch.task.resources == Resources(3000, 144)
    assert (first.essential, second.essential, second.stop_timeout_seconds) == (True, False, 5)
    assert first.depends_on == (ContainerDependency("side", "START"),)
    assert (launch.task.command, launch.task.image) == ((), "")
    spec = yard.machine.world.jobs.specs[1]
    assert [log.container for log in spec.container_logs] == ["main", "side"]
    assert log_file_container(spec, "side") == "side"
    assert yard.status(job_id) is Status.STARTING


def test_gpus_of_all_containers_are_one_demand(yard: Driver) -> None:
    gpu = container("main", resourceRequirements=needs(VCPU="1", MEMORY="64", GPU="2"))
    other = container("other", resourceRequirements=needs(VCPU="1", MEMORY="64", GPU="1"))
    submit(yard, gpu, other)
    (launch,) = yard.launched.values()
    assert launch.task.resources.gpus == 3
    assert launch.device_ids == (0, 1, 2)


def test_containers_share_what_they_name_alike(yard: Driver) -> None:
    points = [{"sourceVolume": "scratch", "containerPath": "/data", "readOnly": True}]
    submit(yard, MAIN | {"mountPoints": points[:0]}, SIDE, members={"volumes": [{"name": "scratch"}]})
    found = ecs_task.merge(task(MAIN | {"mountPoints": points}, SIDE, volumes=[{"name": "scratch"}]), {}, {})
    built = found.build({}, "", fractions=False)
    assert built.containers[0].mounts == (Mount("", "/data", True, "scratch"),)


def test_a_task_of_one_container_is_a_plain_one_on_every_engine() -> None:
    yard = Driver()
    job_id = submit(yard, container("app", stopTimeout=90), members={"taskRoleArn": "arn:role"})
    (launch,) = yard.launched.values()
    assert (launch.task.command, launch.task.containers) == (("app",), ())
    assert launch.task.container["jobRoleArn"] == "arn:role"
    assert launch.log_stream == f"several-0/app/{launch.attempt_id}"
    spec = yard.machine.world.jobs.specs[1]
    assert log_file_container(spec, "app") == "default"
    yard.started(job_id)
    yard.do(c.TerminateJob(job_id, "enough"))
    assert yard.stops[0].grace_seconds == 90
    yard.exited(job_id, 143)
    attempt = yard.job(job_id).past[0]
    assert attempt.containers == (ContainerOutcome("app", 143),)
    assert attempt.exit_code == 143


def test_a_container_without_a_name_is_called_default_and_needs_none_in_an_override() -> None:
    nameless = {member: value for member, value in container("x").items() if member != "name"}
    body = ecs_task.merge(task(nameless), {}, {"containers": [{"command": ["other"]}]})
    assert [(one["name"], one["command"]) for one in body.containers] == [("default", ["other"])]


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"overrides": {"command": ["x"]}}, "containerOverrides needs a job definition with containerProperties"),
        ({"task_override": {"containers": [{"name": "who"}]}}, "the container who, which it has not; .*: main, side"),
        ({"task_override": {"containers": [{"command": ["x"]}]}}, "a container without its name; .*: main, side"),
    ],
)
def test_overrides_that_are_for_nobody_are_refused(yard: Driver, members: Any, text: str) -> None:
    with pytest.raises(Refused, match=text):
        submit(yard, MAIN, SIDE, **members)


def test_overrides_of_a_task_are_refused_for_a_plain_definition(yard: Driver) -> None:
    with pytest.raises(Refused, match="ecsPropertiesOverride needs a job definition with ecsProperties"):
        yard.submit("plain", task_override={"containers": [{"name": "main"}]})


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"command": ["Ref::nobody"]}, "No parameter found for reference nobody"),
        ({"logConfiguration": {"logDriver": "splunk"}}, "the log driver splunk"),
        ({"firelensConfiguration": {"type": "fluentd"}}, "firelensConfiguration"),
        ({"privileged": True}, "process engine can't do privileged"),
        ({"command": []}, "process engine needs a command"),
        ({"resourceRequirements": needs(VCPU="0.5", MEMORY="64")}, "vCPU must be at least 1, got 0.5"),
    ],
)
def test_every_container_is_looked_at(yard: Driver, change: dict[str, Any], text: str) -> None:
    with pytest.raises(Refused, match=text):
        submit(yard, MAIN, SIDE | change)
    assert yard.kept.specs == {}


def test_an_engine_of_one_container_says_so() -> None:
    with pytest.raises(Refused, match=r"the process engine runs one container in a task, and this job has 2 \(main, "):
        submit(Driver(), MAIN, SIDE)


def test_parts_of_a_vcpu_are_for_fargate(yard: Driver) -> None:
    halves = [container(name, vcpus="0.5", memory="1024") for name in ("a", "b")]
    body = ecs_task.merge(task(*halves), {}, {})
    assert body.build({}, "", fractions=True).resources == Resources(1000, 2048)


Exit = reports.ContainerExit


@pytest.mark.parametrize(
    ("containers", "status", "code", "reason"),
    [
        ((Exit("main", 0), Exit("side", 143)), Status.SUCCEEDED, 0, ""),
        ((Exit("main", 3, reason="bad"), Exit("side", 0)), Status.FAILED, 3, "bad"),
        ((Exit("main", None, reason="never"), Exit("side", 1)), Status.FAILED, None, "never"),
        ((Exit("main", 137, out_of_memory=True), Exit("side", 0)), Status.FAILED, 137, "OutOfMemoryError: Container"),
    ],
)
def test_essential_containers_decide(
    yard: Driver, containers: tuple[Exit, ...], status: Status, code: int | None, reason: str
) -> None:
    job_id = submit(yard, MAIN, SIDE)
    yard.started(job_id)
    exits(yard, job_id, *containers)
    job = yard.job(job_id)
    attempt = job.past[0]
    assert (job.status, attempt.exit_code) == (status, code)
    assert attempt.reason.startswith(reason)
    assert job.status_reason == "Essential container in task exited"
    assert [(one.name, one.exit_code) for one in attempt.containers] == [
        (one.name, one.exit_code) for one in containers
    ]
    assert attempt.containers[0].reason.startswith(reason)


def test_the_essential_container_that_failed_first_speaks_for_the_attempt(yard: Driver) -> None:
    """The other was stopped for it: its 143 must not hide the 42 from evaluateOnExit."""
    rules = {
        "attempts": 2,
        "evaluateOnExit": [{"action": "RETRY", "onExitCode": "42"}, {"action": "EXIT", "onReason": "*"}],
    }
    job_id = submit(yard, container("a"), container("b"), document={"retryStrategy": rules})
    yard.started(job_id)
    exits(yard, job_id, Exit("a", 143, stopped_at_ms=2000), Exit("b", 42, stopped_at_ms=1000))
    assert yard.job(job_id).past[0].exit_code == 42
    assert yard.status(job_id) is Status.STARTING, "it was tried again"
    exits(yard, job_id, Exit("a", 143, stopped_at_ms=1000), Exit("b", 42, stopped_at_ms=2000))
    assert (yard.status(job_id), yard.job(job_id).past[1].exit_code) == (Status.FAILED, 143)


@pytest.mark.parametrize(("blamed", "shown"), [("side", "side"), ("", "main")])
def test_a_task_that_did_not_start_says_which_container_was_the_cause(yard: Driver, blamed: str, shown: str) -> None:
    job_id = submit(yard, SIDE, MAIN)
    attempt = yard.attempt_of(job_id)
    yard._forget(attempt)
    yard.report(reports.NotStarted(attempt, yard.now_ms, "CannotPullContainerError: no", 127, blamed))
    job = yard.job(job_id)
    assert (job.status, job.status_reason) == (Status.FAILED, "Task failed to start")
    assert job.past[0].containers == (ContainerOutcome(shown, 127, "CannotPullContainerError: no"),)
    assert (job.past[0].exit_code, job.past[0].reason) == (127, "CannotPullContainerError: no")


def test_a_host_loss_and_a_timeout_are_as_with_plain_jobs(yard: Driver) -> None:
    lost = submit(yard, MAIN, SIDE)
    yard.started(lost)
    yard.lost(lost)
    assert yard.job(lost).status_reason.startswith("Host EC2")
    slow = submit(yard, MAIN, SIDE, timeout={"attemptDurationSeconds": 60})
    yard.started(slow)
    yard.tick(60_000)
    assert [stop.grace_seconds for stop in yard.stops] == [30], "each container's own is the engine's to know"
    exits(yard, slow, Exit("main", 143), Exit("side", 143))
    assert yard.job(slow).status_reason == "Job attempt duration exceeded timeout"


def test_a_task_of_several_survives_a_crash_of_the_server(yard: Driver) -> None:
    job_id = submit(yard, MAIN, SIDE, array_size=2)
    yard.machine.take()
    assert yard.status(f"{job_id}:0") is Status.STARTING
    yard.crash()
    yard.do(c.SetHost(yard.host, {ENGINE: Abilities(multiple_containers=True)}))
    for index in (0, 1):
        exits(yard, f"{job_id}:{index}", Exit("main", 0), Exit("side", 0))
    assert yard.status(job_id) is Status.SUCCEEDED
