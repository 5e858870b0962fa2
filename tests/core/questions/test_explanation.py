"""Every way to wait is reached, and its numbers are right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from batchyard.core.capacity.prices import Prices
from batchyard.core.machine import Machine
from batchyard.core.model import commands as c
from batchyard.core.model.consumable_commands import CreateConsumableResource
from batchyard.core.model.consumable_records import ConsumableType
from batchyard.core.model.records import Abilities, Dependency, EnvironmentOrder, Instance
from batchyard.core.model.resources import Resources
from batchyard.core.questions.explanation import AskExplain, Explanation
from batchyard.core.questions.overview import InterruptInstance
from batchyard.core.scheduling.wait_reasons import AFTER_ANY_REMEDY, UNSCHEDULABLE, Wait, remedy
from batchyard.core.state.fairshare import WEIGHT_ONE
from batchyard.core.state.world import Limits
from tests.core.driver import ACCOUNT, ENGINE, HOST, Driver


def explain(yard: Driver, job_id: str) -> Explanation:
    answer = yard.do(AskExplain(job_id))
    assert isinstance(answer, Explanation), f"{job_id} is not explained"
    return answer


def wants(vcpus: int, memory: int = 64, gpus: int = 0) -> dict[str, object]:
    amounts = [("VCPU", vcpus), ("MEMORY", memory), *([("GPU", gpus)] if gpus else [])]
    return {"resourceRequirements": [{"type": kind, "value": str(value)} for kind, value in amounts]}


def dependencies() -> Explanation:
    yard = Driver()
    first, second, done = yard.submit(), yard.submit(), yard.submit()
    waiting = yard.submit(depends_on=[Dependency(i) for i in (first, second, done)])
    yard.started(first)
    yard.exited(done)
    answer = explain(yard, waiting)
    assert [(d.job_id, d.status) for d in answer.dependencies] == [(first, "RUNNING"), (second, "STARTING")]
    assert answer.dependencies_count == 2
    assert "2 of the 3 jobs" in answer.text
    return answer


def counterpart() -> Explanation:
    yard = Driver(vcpus=1)
    first = yard.submit(array_size=3)
    second = yard.submit(array_size=3, depends_on=[Dependency(first, "N_TO_N")])
    answer = explain(yard, f"{second}:2")
    assert [(d.job_id, d.status) for d in answer.dependencies] == [(f"{first}:2", "RUNNABLE")]
    return answer


def predecessor() -> Explanation:
    yard = Driver()
    array = yard.submit(array_size=9, depends_on=[Dependency(type="SEQUENTIAL")])
    yard.exited(f"{array}:0")
    answer = explain(yard, f"{array}:4")
    assert answer.dependencies[0].job_id == f"{array}:3"
    assert answer.dependencies_count == 3
    assert "1 of 9 have ended" in answer.text
    return answer


def withdrawn() -> Explanation:
    yard = Driver()
    first = yard.submit()
    waiting = yard.submit(depends_on=[Dependency(first)])
    yard.do(c.CancelJob(waiting, "enough"))
    answer = explain(yard, waiting)
    assert answer.text.startswith(
        "It was cancelled, and ends when what it waits for has. It waits for the job it depends on"
    )
    assert [(d.job_id, d.status) for d in answer.dependencies] == [(first, "STARTING")]
    return answer


def children() -> Explanation:
    yard = Driver()
    array = yard.submit(array_size=5)
    yard.exited(f"{array}:1")
    answer = explain(yard, array)
    assert "1 of its 5 children has ended" in answer.text
    return answer


def environments_invalid() -> Explanation:
    yard = Driver(vcpus=1)
    yard.submit()
    job = yard.submit()
    del yard.machine.world.environments["local"]  # AWS makes an environment INVALID; nothing here does yet
    yard.set_host()
    answer = explain(yard, job)
    assert answer.status_reason.startswith("ACTION_REQUIRED - CE(s) associated with the job queue are invalid.")
    return answer


def other_engine() -> Explanation:
    yard = Driver(vcpus=1)
    yard.submit()
    job = yard.submit()
    yard.do(c.SetHost(yard.host, {ENGINE: Abilities(), "containers": Abilities(images=True)}))
    yard.do(c.CreateComputeEnvironment("images", "u2", "UNMANAGED", "ENABLED", "containers", {}))
    yard.do(c.UpdateJobQueue("default", environments=(EnvironmentOrder(1, "images"),)))
    answer = explain(yard, job)
    assert f"(containers); the job was submitted for {ENGINE}." in answer.text
    return answer


def environments_disabled() -> Explanation:
    yard = Driver()
    yard.do(c.UpdateComputeEnvironment("local", state="DISABLED"))
    job = yard.submit()
    answer = explain(yard, job)
    assert answer.status_reason == yard.job(job).status_reason
    assert "DISABLED (local)" in answer.text
    return answer


def settling() -> Explanation:
    yard = Driver()
    machine = Machine(ACCOUNT, Limits(settle_seconds=5))
    machine.restore(yard.kept.snapshot())
    yard.machine = machine
    yard.set_host()
    yard.do(c.UpdateComputeEnvironment("local", "ENABLED"))
    answer = explain(yard, yard.submit())
    assert "It is UPDATING: nothing is placed there until it is VALID." in answer.text
    return answer


def engine_gone() -> Explanation:
    yard = Driver(vcpus=1)
    yard.submit()
    job = yard.submit()
    yard.do(c.SetHost(yard.host, {}))
    answer = explain(yard, job)
    assert f"({ENGINE}) cannot be used now" in answer.text
    assert yard.job(job).status_reason == answer.status_reason
    return answer


def over_max() -> Explanation:
    yard = Driver(vcpus=64, memory_mib=65536)
    yard.fleet("small", "c5", most=4)
    yard.define("eight", container=wants(8))
    answer = explain(yard, yard.submit("eight", queue="small"))
    assert answer.status_reason.startswith("MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE - ")
    assert "8 vCPUs" in answer.text
    assert "4 (maxvCpus)" in answer.text
    return answer


def host_too_small() -> Explanation:
    yard = Driver(vcpus=4)
    yard.fleet("large", "m5.24xlarge", most=256)
    answer = explain(yard, yard.submit(queue="large"))
    assert answer.status_reason.startswith("CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - ")
    assert "[m5.24xlarge]" in answer.text
    assert "This host offers 4 vCPUs and 4096 MiB" in answer.text
    return answer


def above_bid() -> Explanation:
    yard = Driver(vcpus=8, memory_mib=16384)
    yard.machine.world.prices = Prices({"c5.large": 100_000}, {"c5.large": 90_000})
    yard.fleet("cheap", "c5.large", kind="SPOT", bidPercentage=50)
    answer = explain(yard, yard.submit(queue="cheap"))
    assert answer.status_reason.startswith("CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - ")
    assert "50" in answer.text
    return answer


def launching() -> Explanation:
    yard = Driver(vcpus=8, memory_mib=16384)
    yard.fleet("fleet", "c5.large")
    answer = explain(yard, yard.submit(queue="fleet"))
    assert f"{yard.instances('fleet')[0].instance_id} (c5.large) is being launched in fleet" in answer.text
    return answer


def at_max() -> Explanation:
    yard = Driver(vcpus=8, memory_mib=16384)
    yard.fleet("fleet", "c5.large", most=2)
    yard.define("two", container=wants(2))
    yard.submit("two", queue="fleet")
    yard.booted()
    answer = explain(yard, yard.submit("two", queue="fleet"))
    assert "has 2 of 2 vCPUs (maxvCpus)" in answer.text
    return answer


def no_capacity() -> Explanation:
    yard = Driver(vcpus=4, memory_mib=16384)
    yard.fleet("fleet", "c5.xlarge", most=64)
    yard.submit()
    answer = explain(yard, yard.submit(queue="fleet"))
    assert "c5.xlarge takes 4 vCPUs" in answer.text
    assert "this host has 3 vCPUs" in answer.text
    assert "Held of this host's 4 vCPUs: 1 by 1 job that runs on it as it is." in answer.text
    yard.fleet("other", "c5.large", minvCpus=2)
    answer = explain(yard, yard.submit(queue="fleet"))
    assert answer.text.startswith("1 job is before it")
    return explain(yard, "00000000-0000-4000-8000-000000000002")


def concurrency_limit() -> Explanation:
    yard = Driver()
    yard.queue("narrow", tags={"batchyard:concurrency-limit": "1"})
    yard.submit(queue="narrow")
    answer = explain(yard, yard.submit(queue="narrow"))
    assert "1 job of the queue narrow runs" in answer.text
    return answer


def consumable_resource() -> Explanation:
    yard = Driver()
    yard.do(CreateConsumableResource("licence", ConsumableType.REPLENISHABLE, 1, {}))
    wanted = {"consumableResourceList": [{"consumableResource": "licence", "quantity": 1}]}
    holder = yard.submit(consumables=wanted)
    answer = explain(yard, yard.submit(consumables=wanted))
    assert f"0 of 1 are free. It is held by {holder} (1)." in answer.text
    return answer


def other_platform() -> Explanation:
    yard = Driver()
    yard.do(c.SetHost(yard.host, {ENGINE: Abilities(architecture="X86_64")}))
    yard.define("arm", container={"runtimePlatform": {"cpuArchitecture": "ARM64"}})
    answer = explain(yard, yard.submit("arm"))
    assert answer.text.endswith("The job is for ARM64, and this machine is X86_64.")
    assert answer.status_reason.startswith("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - ")
    return answer


def too_large() -> Explanation:
    yard = Driver(vcpus=4, memory_mib=4096, gpus=1)
    yard.define("huge", container=wants(64, 9000, 2))
    answer = explain(yard, yard.submit("huge"))
    assert "64 vCPUs asked, 4 at most there" in answer.text
    assert "9000 MiB asked, 4096 MiB at most there" in answer.text
    assert "2 GPUs asked, 1 at most there" in answer.text
    assert (answer.asked, answer.largest) == (Resources(64_000, 9000, 2), Resources(4000, 4096, 1))
    return answer


def no_room() -> Explanation:
    yard = Driver(vcpus=4, memory_mib=4096)
    yard.define("three", container=wants(3, 1000))
    yard.define("two", container=wants(2, 500))
    holder = yard.submit("three")
    answer = explain(yard, yard.submit("two"))
    assert "2 vCPUs asked, 1 free" in answer.text
    assert answer.free == (Resources(1000, 3096, 0),)
    assert [(h.job_id, h.resources) for h in answer.holders] == [(holder, Resources(3000, 1000, 0))]
    assert (answer.ahead, answer.ahead_elsewhere) == (0, 0)
    return answer


def behind() -> Explanation:
    yard = Driver(vcpus=1)
    yard.do(c.CreateJobQueue("urgent", "ENABLED", 10, (EnvironmentOrder(1, "local"),)))
    yard.submit()
    yard.submit(array_size=7)
    yard.submit()
    mine = yard.submit(array_size=5)
    yard.submit(queue="urgent", array_size=2)
    answer = explain(yard, f"{mine}:3")
    assert (answer.ahead, answer.ahead_elsewhere) == (7 + 1 + 3, 2)
    assert "11 jobs are before it in the queue default, and 2 in queues of higher priority" in answer.text
    return answer


def fair_queue(yard: Driver, **policy: Any) -> None:
    yard.do(c.CreateSchedulingPolicy("p", {"fairsharePolicy": policy}))
    arn = {"schedulingPolicyArn": ACCOUNT.policy_arn("p")}
    yard.do(c.CreateJobQueue("fair", "ENABLED", 1, (EnvironmentOrder(1, "local"),), arn))


def of_share(yard: Driver, share: str, priority: int = 0, **members: Any) -> str:
    return yard.submit(queue="fair", share_identifier=share, scheduling_priority=priority, **members)


def other_shares() -> Explanation:
    """anna has used 6 vCPU seconds, as long as jobs here run, and weighs half. So her three jobs have their turns at 3,
    6 and 9; bob, who holds one vCPU, has his at 6, 12 and 18."""
    yard = Driver(vcpus=1)
    entries = [{"shareIdentifier": "anna", "weightFactor": 0.5}]
    fair_queue(yard, shareDistribution=entries)
    first = of_share(yard, "anna")
    yard.started(first)
    yard.now_ms += 6000
    yard.exited(first)
    of_share(yard, "bob", array_size=4)
    of_share(yard, "anna", priority=3)
    mine = of_share(yard, "anna", array_size=3)
    answer = explain(yard, f"{mine}:1")
    assert (answer.ahead, answer.ahead_elsewhere) == (1 + 2, 0)
    assert answer.share is not None
    standing = answer.share.standing
    assert (standing.identifier, standing.weight, answer.share.held) == ("anna", WEIGHT_ONE // 2, 0)
    assert (answer.share.number, answer.share.shares) == (1, 2)
    assert (answer.share.ahead_of_others, answer.share.ahead_in_share) == (1, 2)
    assert "Its share anna has used 6.0 vCPU seconds at weight 0.5 and holds 0 vCPUs" in answer.text
    assert "1 jobs of other shares and 2 of its own are before it" in answer.text
    return answer


def reserved() -> Explanation:
    yard = Driver(vcpus=4)
    yard.do(c.UpdateComputeEnvironment("local", document={"unmanagedvCpus": 4}))
    fair_queue(yard, computeReservation=75)
    array = of_share(yard, "anna", array_size=9)
    answer = explain(yard, f"{array}:1")
    assert "hold 1 vCPUs: 1 are the most while 3 are kept for shares that are not active yet" in answer.text
    assert answer.free == (Resources(3000, 4032, 0),)
    return answer


def ending_service() -> Explanation:
    yard = Driver(vcpus=1)
    yard.submit()
    job = yard.submit()
    yard.do(c.TerminateAllRunning("the service ends"))
    return explain(yard, job)


def starting() -> Explanation:
    yard = Driver()
    answer = explain(yard, yard.submit())
    assert "place in local" in answer.text
    return answer


WAYS: dict[Wait, Callable[[], Explanation]] = {
    Wait.DEPENDENCIES: dependencies,
    Wait.COUNTERPART: counterpart,
    Wait.PREDECESSOR: predecessor,
    Wait.WITHDRAWN: withdrawn,
    Wait.CHILDREN: children,
    Wait.ENVIRONMENTS_INVALID: environments_invalid,
    Wait.ENVIRONMENTS_DISABLED: environments_disabled,
    Wait.SETTLING: settling,
    Wait.ENGINE_GONE: engine_gone,
    Wait.OTHER_ENGINE: other_engine,
    Wait.OTHER_PLATFORM: other_platform,
    Wait.OVER_MAX: over_max,
    Wait.HOST_TOO_SMALL: host_too_small,
    Wait.ABOVE_BID: above_bid,
    Wait.LAUNCHING: launching,
    Wait.AT_MAX: at_max,
    Wait.NO_CAPACITY: no_capacity,
    Wait.CONCURRENCY_LIMIT: concurrency_limit,
    Wait.CONSUMABLE_RESOURCE: consumable_resource,
    Wait.TOO_LARGE: too_large,
    Wait.NO_ROOM: no_room,
    Wait.BEHIND: behind,
    Wait.SHARE: other_shares,
    Wait.RESERVED: reserved,
    Wait.ENDING_SERVICE: ending_service,
    Wait.STARTING: starting,
}


@pytest.mark.parametrize("wait", list(Wait))
def test_each_way_to_wait_is_explained_with_its_numbers(wait: Wait) -> None:
    answer = WAYS[wait]()
    assert answer.wait == wait
    assert answer.remedy == remedy(wait)
    assert bool(answer.status_reason) == (wait in (*UNSCHEDULABLE, Wait.NO_CAPACITY))


def test_behind_jobs_of_its_own_share_only() -> None:
    yard = Driver(vcpus=1)
    fair_queue(yard)
    of_share(yard, "anna")
    of_share(yard, "anna")
    of_share(yard, "anna", array_size=2)
    answer = explain(yard, of_share(yard, "anna"))
    assert (answer.wait, answer.ahead) == (Wait.BEHIND, 3)
    assert "0 jobs of other shares and 3 of its own are before it" in answer.text
    urgent = of_share(yard, "anna", priority=1)
    assert explain(yard, urgent).wait == Wait.NO_ROOM


def test_running_and_ended_jobs() -> None:
    yard = Driver()
    job = yard.submit()
    yard.started(job)
    assert explain(yard, job).text == "It runs."
    yard.exited(job)
    assert yard.do(AskExplain(job)) is None
    assert yard.do(AskExplain("no-such-job")) is None


def test_who_holds_the_host_and_what_is_coming() -> None:
    yard = Driver(vcpus=5, memory_mib=32768)
    yard.fleet("other", "c5.large", minvCpus=2)
    yard.fleet("fleet", "c5.xlarge", "c5.large", most=64)
    first, second = yard.submit(queue="fleet"), yard.submit(queue="fleet")
    yard.submit(queue="fleet", array_size=3)
    assert explain(yard, first).wait == Wait.LAUNCHING
    assert explain(yard, second).text.endswith("1 instance with 2 vCPUs is being launched.")
    yard.define("four", container=wants(4))
    answer = explain(yard, yard.submit("four", queue="fleet"))
    assert answer.wait == Wait.BEHIND
    yard.queue("urgent", "fleet", priority=9)
    blocked = explain(yard, yard.submit("four", queue="urgent"))
    assert blocked.wait == Wait.NO_CAPACITY
    assert "2 by 1 instance of fleet, 2 by 1 instance of other" in blocked.text


def test_what_was_asked_of_a_job_that_runs() -> None:
    yard = Driver(vcpus=8, memory_mib=16384)
    yard.fleet("spot", "c5.large", kind="SPOT")
    job = yard.submit(retry_strategy={"attempts": 3}, timeout={"attemptDurationSeconds": 60})
    yard.started(job)
    assert explain(yard, job).text == "It runs, attempt 1 of 3."
    yard.do(c.CancelJob(job, "enough"))
    assert explain(yard, job).text.endswith(" It was cancelled: it runs to its end, and is not retried.")
    yard.tick(60_000)
    assert explain(yard, job).text.endswith(" Its timeout is over: it is being stopped, and is not retried.")
    other = yard.submit()
    yard.do(c.TerminateJob(other, "no"))
    assert explain(yard, other).text.endswith("is being started. It was terminated: it is being stopped.")
    lost = yard.submit(queue="spot")
    (instance,) = yard.booted()
    yard.started(lost)
    yard.do(InterruptInstance(instance, 2.0))
    assert "Its instance is about to go" in explain(yard, lost).text


def test_a_child_that_waits_with_its_array_names_what_the_array_waits_for() -> None:
    yard = Driver()
    first = yard.submit()
    array = yard.submit(array_size=3, depends_on=[Dependency(first)])
    assert explain(yard, f"{array}:1").wait == Wait.DEPENDENCIES
    assert explain(yard, array).wait == Wait.DEPENDENCIES


def test_children_of_a_withdrawn_array_and_one_withdrawn_alone() -> None:
    yard = Driver()
    array = yard.submit(array_size=4, depends_on=[Dependency(type="SEQUENTIAL")])
    yard.do(c.CancelJob(f"{array}:2", "that one"))
    assert [explain(yard, f"{array}:{i}").wait for i in (0, 1, 2, 3)] == [
        Wait.STARTING,
        Wait.PREDECESSOR,
        Wait.WITHDRAWN,
        Wait.PREDECESSOR,
    ]
    yard.do(c.TerminateJob(array, "all"))
    assert explain(yard, f"{array}:3").text.startswith("It was terminated, and ends when")


def test_after_any_says_that_any_end_will_do() -> None:
    yard = Driver()
    job = yard.submit(depends_on=[Dependency(yard.submit())], tags={"batchyard:after-any": "true"})
    answer = explain(yard, job)
    assert (answer.wait, answer.remedy) == (Wait.DEPENDENCIES, AFTER_ANY_REMEDY)


def test_a_host_that_grows_frees_those_that_were_too_large() -> None:
    yard = Driver(vcpus=1)
    yard.define("two", container=wants(2))
    job = yard.submit("two")
    assert explain(yard, job).wait == Wait.TOO_LARGE
    yard.do(c.SetHost(Instance(HOST, Resources(2000, 4096, 0)), yard.machine.world.abilities))
    assert yard.job(job).status_reason == ""
    assert explain(yard, job).wait == Wait.STARTING


def test_children_that_ended_behind_one_do_not_count_as_before_it() -> None:
    yard = Driver(vcpus=8)
    first = yard.submit(array_size=4)
    second = yard.submit(array_size=4, depends_on=[Dependency(first, "N_TO_N"), Dependency(type="SEQUENTIAL")])
    yard.exited(f"{first}:3", 1)
    yard.exited(f"{first}:2", 1)
    yard.exited(f"{first}:0")
    yard.exited(f"{first}:1")
    answer = explain(yard, f"{second}:1")
    assert (answer.wait, answer.dependencies_count) == (Wait.PREDECESSOR, 1)
    assert "2 of 4 have ended" in answer.text


def several() -> Driver:
    yard = Driver(vcpus=4, memory_mib=16384)
    yard.machine.world.prices = Prices({"c5.large": 100_000}, {"c5.large": 90_000})
    yard.fleet("cheap", "c5.large", kind="SPOT", bidPercentage=50)
    yard.fleet("small", "c5.large", most=2)
    yard.define("four", container=wants(4))
    return yard


def test_each_environment_of_a_queue_says_why_it_never_runs_a_job() -> None:
    yard = several()
    yard.fleet("off", "c5.xlarge")
    yard.do(c.UpdateComputeEnvironment("off", state="DISABLED"))
    yard.queue("several", "cheap", "small", "off")
    answer = explain(yard, yard.submit("four", queue="several"))
    assert answer.wait == Wait.TOO_LARGE
    assert answer.remedy == "Ask for less, or allow larger instance types with UpdateComputeEnvironment."
    assert "cheap: No allowed instance type holds 4 vCPUs" in answer.text
    assert "small: The job asks 4 vCPUs and the environment may have 2 (maxvCpus)." in answer.text
    assert answer.text.endswith("off: It is DISABLED.")
    assert answer.status_reason == f"{answer.text} {answer.remedy}"
    assert answer.largest == Resources(2000, 3953), "instances that could be there count, though none is"
    one = explain(yard, yard.submit(queue="several"))
    assert one.wait == Wait.LAUNCHING, "small can run it"


def test_each_environment_of_a_queue_says_why_it_does_not_run_a_job_now() -> None:
    yard = several()
    yard.queue("several", "cheap", "small", "local")
    yard.submit("four", queue="several")
    answer = explain(yard, yard.submit("four", queue="several"))
    assert [(e.environment, e.wait) for e in answer.environments] == [
        ("cheap", Wait.TOO_LARGE),
        ("small", Wait.OVER_MAX),
        ("local", Wait.NO_ROOM),
    ]
    assert answer.text.endswith(
        "local: 4 vCPUs asked, 0 free. Held of this host's 4 vCPUs: 4 by 1 job that runs on it as it is."
    )
    assert answer.text.startswith("It is next, and waits for room. cheap: No allowed")


def test_who_is_first_of_those_before_it() -> None:
    yard = Driver(vcpus=1)
    yard.submit()
    first, mine = yard.submit(array_size=2), yard.submit()
    assert (
        explain(yard, mine).text
        == f"2 jobs are before it in the queue default. The first that waits for room is {first}:0."
    )


def test_a_node_is_explained_as_its_job_and_by_what_it_waits_for_itself() -> None:
    yard = Driver(vcpus=3)
    yard.define_nodes()
    job, waiting = yard.submit("gang"), yard.submit("gang")
    whole, node = explain(yard, waiting), explain(yard, f"{waiting}#1")
    assert (node.job_id, node.status, node.text) == (f"{waiting}#1", "RUNNABLE", whole.text)
    assert "needs room for all 3 nodes" in node.text
    before = explain(yard, f"{job}#1")
    assert (before.status, before.wait) == ("RUNNABLE", Wait.STARTING)
    assert before.text == "It has its place, and is started once the main node runs."
    yard.started(f"{job}#0")
    assert explain(yard, f"{job}#0").text == "It runs."
    assert explain(yard, f"{job}#1").text.startswith("It has its place in ")
    yard.started(f"{job}#1")
    assert explain(yard, f"{job}#1").text == "It runs."
    yard.exited(f"{job}#1", 4)
    for ended in (f"{job}#1", f"{job}#3"):
        assert yard.do(AskExplain(ended)) is None
