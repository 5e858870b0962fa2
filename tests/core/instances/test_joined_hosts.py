"""Hosts that join an UNMANAGED environment: they register once, take jobs while they are connected, and leave when
nothing runs on them any more."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from batchyard.core.model import commands as c
from batchyard.core.model import reports
from batchyard.core.model.host_commands import (
    AskHosts,
    ConnectHost,
    CreateJoinToken,
    DrainHost,
    ForgetHost,
    JoinHost,
)
from batchyard.core.model.host_records import HostFacts
from batchyard.core.model.reasons import StopCause
from batchyard.core.model.records import JOINED_PROVIDER, Instance, InstanceState, Job, Status
from batchyard.core.model.refusal import Refused
from batchyard.core.model.resources import Resources
from batchyard.core.questions.explanation import AskExplain
from batchyard.core.questions.overview import AskOverview
from batchyard.core.questions.running_task import AskRunningTask
from tests.core.driver import ENGINE, Driver

HOUR_MS = 3_600_000


def facts(name: str = "ws1", vcpus: int = 2, gpus: int = 0, **members: str) -> HostFacts:
    return HostFacts(name, Resources(vcpus * 1000, 4096, gpus), gpu_ids=tuple(range(gpus)), **members)  # type: ignore[arg-type]


@dataclass
class Lab:
    """An environment `lab` for hosts, and a queue of its name."""

    driver: Driver
    tokens: int = 0

    def token(self) -> str:
        self.tokens += 1
        token_id = f"t{self.tokens}"
        self.driver.do(CreateJoinToken("lab", token_id, f"digest of {token_id}", HOUR_MS))
        return token_id

    def joins(self, described: HostFacts) -> str:
        token_id = self.token()
        join = JoinHost(token_id, f"digest of {token_id}", f"key of {described.name}", described)
        return self.driver.do(join).instance_id

    def connected(self, described: HostFacts) -> str:
        instance_id = self.joins(described)
        self.reports(reports.InstanceReady(instance_id))
        return instance_id

    def reports(self, fact: reports.InstanceReport) -> None:
        self.driver.now_ms += 1
        self.driver.machine.report(JOINED_PROVIDER, fact, self.driver.now_ms)
        self.driver.tick(1)

    def state(self, instance_id: str) -> InstanceState:
        return self.driver.machine.world.instances[instance_id].state

    def reason(self, job_id: str) -> str:
        return self.driver.do(AskExplain(job_id)).text

    def attempt(self, job_id: str) -> str:
        job = self.driver.job(job_id)
        assert job.attempt is not None
        return job.attempt.main.instance_id


@pytest.fixture
def lab() -> Lab:
    driver = Driver()
    driver.machines[JOINED_PROVIDER] = Instance("i-joined", Resources(), provider=JOINED_PROVIDER)
    driver.set_host()
    driver.do(
        c.CreateComputeEnvironment(
            "lab", "uuid-lab", "UNMANAGED", "ENABLED", ENGINE, {}, is_settled=True, provider=JOINED_PROVIDER
        )
    )
    driver.queue("lab", "lab")
    return Lab(driver)


# -- joining --


def test_a_token_lets_one_host_in_once(lab: Lab) -> None:
    instance_id = lab.joins(facts("ws1"))
    (host,) = lab.driver.do(AskHosts())
    assert (host.host.instance_id, host.host.environment, host.host.facts.name) == (instance_id, "lab", "ws1")
    assert host.instance.state is InstanceState.AWAY, "it has registered, and is not connected yet"
    with pytest.raises(Refused, match="it was used, it has expired"):
        lab.driver.do(JoinHost("t1", "digest of t1", "key of ws2", facts("ws2")))


def test_a_host_that_missed_the_answer_joins_once(lab: Lab) -> None:
    instance_id = lab.joins(facts("ws1"))
    again = lab.driver.do(JoinHost("t1", "digest of t1", "key of ws1", facts("ws1")))
    assert again.instance_id == instance_id
    assert len(lab.driver.do(AskHosts())) == 1


def test_a_wrong_secret_uses_up_nothing(lab: Lab) -> None:
    token_id = lab.token()
    with pytest.raises(Refused, match="not known here"):
        lab.driver.do(JoinHost(token_id, "another digest", "key", facts()))
    assert lab.driver.do(JoinHost(token_id, f"digest of {token_id}", "key", facts())).environment == "lab"


def test_a_token_expires(lab: Lab) -> None:
    token_id = lab.token()
    lab.driver.tick(HOUR_MS)
    with pytest.raises(Refused, match="expired"):
        lab.driver.do(JoinHost(token_id, f"digest of {token_id}", "key", facts()))
    assert not lab.driver.machine.world.hosts.tokens


def test_hosts_join_only_environments_that_are_for_them(lab: Lab) -> None:
    with pytest.raises(Refused, match="Hosts cannot join local"):
        lab.driver.do(CreateJoinToken("local", "t", "d", HOUR_MS))
    with pytest.raises(Refused, match="nowhere does not exist"):
        lab.driver.do(CreateJoinToken("nowhere", "t", "d", HOUR_MS))


def test_a_host_proves_itself_with_its_key(lab: Lab) -> None:
    instance_id = lab.joins(facts("ws1"))
    with pytest.raises(Refused, match="with this key"):
        lab.driver.do(ConnectHost(instance_id, "key of ws2", facts("ws1")))
    with pytest.raises(Refused, match="with this key"):
        lab.driver.do(ConnectHost("i-0", "key of ws1", facts("ws1")))
    assert lab.driver.do(ConnectHost(instance_id, "key of ws1", facts("ws1"))).instance_id == instance_id


def test_a_host_needs_something_to_offer(lab: Lab) -> None:
    with pytest.raises(Refused, match="cannot join"):
        lab.joins(HostFacts("empty", Resources()))


# -- jobs --


def test_jobs_are_packed_onto_connected_hosts(lab: Lab) -> None:
    first, second = lab.connected(facts("ws1", vcpus=2)), lab.connected(facts("ws2", vcpus=2))
    jobs = [lab.driver.submit(queue="lab") for _ in range(5)]
    assert [lab.attempt(job) for job in jobs[:4]] == [first, first, second, second]
    assert lab.driver.status(jobs[4]) is Status.RUNNABLE
    assert "on its hosts; 4 jobs on them" in lab.reason(jobs[4])
    lab.driver.exited(jobs[2])
    assert lab.attempt(jobs[4]) == second


def test_each_host_has_gpus_of_its_own(lab: Lab) -> None:
    first, second = lab.connected(facts("ws1", gpus=1)), lab.connected(facts("ws2", gpus=1))
    requirements = [
        {"type": "VCPU", "value": "1"},
        {"type": "MEMORY", "value": "64"},
        {"type": "GPU", "value": "1"},
    ]
    lab.driver.define("gpu", container={"resourceRequirements": requirements})
    jobs = [lab.driver.submit("gpu", queue="lab") for _ in range(2)]
    placed = [job.attempt.main for job in map(lab.driver.job, jobs) if job.attempt is not None]
    assert [(one.instance_id, one.device_ids) for one in placed] == [(first, (0,)), (second, (0,))]


def test_a_job_waits_for_the_first_host_and_says_so(lab: Lab) -> None:
    job = lab.driver.submit(queue="lab")
    assert "No host has joined it yet" in lab.reason(job)
    instance_id = lab.joins(facts("ws1"))
    assert "None of its hosts takes jobs: ws1 (not connected) takes none now." in lab.reason(job)
    lab.reports(reports.InstanceReady(instance_id))
    assert lab.attempt(job) == instance_id


def test_a_job_larger_than_all_hosts_is_set_aside_until_a_larger_one_joins(lab: Lab) -> None:
    lab.connected(facts("ws1", vcpus=1))
    requirements = [{"type": "VCPU", "value": "2"}, {"type": "MEMORY", "value": "64"}]
    lab.driver.define("large", container={"resourceRequirements": requirements})
    job = lab.driver.submit("large", queue="lab")
    assert "2 vCPUs asked, 1 at most there" in lab.driver.job(job).status_reason
    large = lab.connected(facts("ws2", vcpus=2))
    assert lab.attempt(job) == large


def test_the_nodes_of_a_job_need_a_network_that_hosts_do_not_have(lab: Lab) -> None:
    lab.connected(facts("ws1", vcpus=8))
    lab.driver.define_nodes(count=2)
    job = lab.driver.submit("gang", queue="lab")
    assert lab.driver.status(job) is Status.RUNNABLE
    assert "run no multi-node jobs" in lab.reason(job)


# -- loss --


def lost_job(lab: Lab, attempts: int) -> tuple[str, Job]:
    instance_id = lab.connected(facts("ws1"))
    job_id = lab.driver.submit(queue="lab", retry_strategy={"attempts": attempts})
    lab.driver.started(job_id)
    lab.reports(reports.InstanceAway(instance_id))
    assert lab.driver.status(job_id) is Status.RUNNING, "it may run on: that its host is away says nothing"
    lab.driver.lost(job_id)
    return instance_id, lab.driver.job(job_id)


def test_an_attempt_on_a_lost_host_ends_with_its_reason(lab: Lab) -> None:
    instance_id, job = lost_job(lab, attempts=1)
    assert (job.status, job.status_reason) == (Status.FAILED, f"Host EC2 (instance {instance_id}) terminated.")


def test_a_lost_attempt_is_retried_where_there_is_a_host(lab: Lab) -> None:
    instance_id, job = lost_job(lab, attempts=2)
    assert job.status is Status.RUNNABLE, "its host is away"
    other = lab.connected(facts("ws2"))
    (launch,) = lab.driver.launched.values()
    assert launch.attempt_node.instance_id == other != instance_id


def test_a_host_that_is_away_takes_no_jobs_until_it_is_back(lab: Lab) -> None:
    instance_id = lab.connected(facts("ws1"))
    lab.reports(reports.InstanceAway(instance_id))
    assert lab.state(instance_id) is InstanceState.AWAY
    job = lab.driver.submit(queue="lab")
    assert lab.driver.status(job) is Status.RUNNABLE
    lab.reports(reports.InstanceReady(instance_id))
    assert lab.attempt(job) == instance_id


def test_after_a_restart_hosts_are_away_and_their_jobs_go_on(lab: Lab) -> None:
    instance_id = lab.connected(facts("ws1"))
    job = lab.driver.submit(queue="lab")
    lab.driver.started(job)
    lab.driver.crash()
    assert lab.state(instance_id) is InstanceState.AWAY
    assert lab.driver.status(job) is Status.RUNNING
    lab.reports(reports.InstanceReady(instance_id))
    assert lab.state(instance_id) is InstanceState.READY
    assert len(lab.driver.do(AskHosts())) == 1
    lab.driver.exited(job)
    assert lab.driver.status(job) is Status.SUCCEEDED


def test_an_unused_token_outlives_a_restart(lab: Lab) -> None:
    token_id = lab.token()
    lab.driver.crash()
    assert lab.driver.do(JoinHost(token_id, f"digest of {token_id}", "key", facts())).environment == "lab"


def test_a_host_that_announces_its_end_is_drained_until_it_is_back(lab: Lab) -> None:
    instance_id = lab.connected(facts("ws1"))
    job = lab.driver.submit(queue="lab")
    lab.driver.started(job)
    lab.reports(reports.InstanceInterrupted(instance_id, 60.0))
    (stop,) = lab.driver.stops
    assert stop.grace_seconds == 60.0
    lab.driver.exited(job, 143)
    assert lab.driver.job(job).status_reason == f"Host EC2 (instance {instance_id}) terminated."
    assert lab.state(instance_id) is InstanceState.DRAINING
    lab.reports(reports.InstanceReady(instance_id))
    assert lab.state(instance_id) is InstanceState.READY


def test_a_host_comes_back_with_other_amounts_only_when_it_is_empty(lab: Lab) -> None:
    instance_id = lab.connected(facts("ws1", vcpus=2))
    job = lab.driver.submit(queue="lab")
    with pytest.raises(Refused, match="Start it as before"):
        lab.driver.do(ConnectHost(instance_id, "key of ws1", facts("ws1", vcpus=4)))
    lab.driver.exited(job)
    changed = lab.driver.do(ConnectHost(instance_id, "key of ws1", facts("ws1", vcpus=4)))
    assert (changed.instance_id, changed.resources.milli_vcpus) == (instance_id, 4000)
    lab.reports(reports.InstanceReady(instance_id))
    jobs = [lab.driver.submit(queue="lab") for _ in range(4)]
    assert {lab.attempt(one) for one in jobs} == {instance_id}


# -- drained and forgotten --


def test_a_drained_host_takes_no_jobs_and_those_on_it_run_on(lab: Lab) -> None:
    instance_id = lab.connected(facts("ws1"))
    job = lab.driver.submit(queue="lab")
    lab.driver.do(DrainHost("ws1"))
    waiting = lab.driver.submit(queue="lab")
    assert (lab.driver.stops, lab.driver.status(waiting)) == ([], Status.RUNNABLE)
    lab.reports(reports.InstanceAway(instance_id))
    lab.reports(reports.InstanceReady(instance_id))
    lab.driver.crash()
    lab.reports(reports.InstanceReady(instance_id))
    assert lab.state(instance_id) is InstanceState.DRAINING, "neither a new connection nor a restart ends a drain"
    lab.driver.do(DrainHost(instance_id, undo=True))
    assert lab.attempt(waiting) == instance_id
    assert lab.attempt(job) == instance_id


def test_the_undone_drain_of_a_host_that_is_away_waits_for_it(lab: Lab) -> None:
    instance_id = lab.connected(facts("ws1"))
    lab.driver.do(DrainHost("ws1"))
    lab.reports(reports.InstanceAway(instance_id))
    lab.driver.do(DrainHost("ws1", undo=True))
    assert lab.state(instance_id) is InstanceState.AWAY


def test_a_forgotten_host_leaves_when_its_jobs_have_ended(lab: Lab) -> None:
    instance_id = lab.connected(facts("ws1"))
    job = lab.driver.submit(queue="lab")
    lab.driver.started(job)
    lab.driver.do(ForgetHost("ws1"))
    assert [stop.attempt_node.instance_id for stop in lab.driver.stops] == [instance_id]
    attempt = lab.driver.job(job).attempt
    assert attempt is not None
    assert attempt.stopping is StopCause.HOST
    assert not lab.driver.terminated
    lab.driver.exited(job, 143)
    assert lab.driver.terminated == [instance_id]
    lab.driver.gone()
    assert lab.driver.do(AskHosts()) == ()
    assert instance_id not in lab.driver.machine.world.instances
    with pytest.raises(Refused, match="let go"):
        lab.driver.do(ConnectHost(instance_id, "key of ws1", facts("ws1")))
    with pytest.raises(Refused, match="No host ws1 has joined"):
        lab.driver.do(ForgetHost("ws1"))


def test_a_host_that_leaves_is_not_kept_any_more(lab: Lab) -> None:
    lab.connected(facts("ws1"))
    lab.driver.submit(queue="lab")
    lab.driver.do(ForgetHost("ws1"))
    with pytest.raises(Refused, match="leaves already"):
        lab.driver.do(DrainHost("ws1", undo=True))


def test_hosts_of_one_name_are_told_apart_by_id(lab: Lab) -> None:
    first = lab.joins(facts("ws1"))
    token_id = lab.token()
    second = lab.driver.do(JoinHost(token_id, f"digest of {token_id}", "another key", facts("ws1"))).instance_id
    with pytest.raises(Refused, match="Several hosts are named ws1"):
        lab.driver.do(DrainHost("ws1"))
    assert lab.driver.do(DrainHost(second)).instance_id == second
    assert lab.state(first) is InstanceState.AWAY


def test_hosts_end_with_their_environment(lab: Lab) -> None:
    instance_id = lab.connected(facts("ws1"))
    lab.driver.do(c.UpdateJobQueue("lab", "DISABLED"))
    lab.driver.do(c.DeleteJobQueue("lab"))
    lab.driver.do(c.UpdateComputeEnvironment("lab", "DISABLED"))
    lab.driver.do(c.DeleteComputeEnvironment("lab"))
    assert lab.driver.terminated == [instance_id]
    lab.driver.gone()
    lab.driver.tick(1)
    assert "lab" not in lab.driver.machine.world.environments


def test_the_overview_shows_hosts_as_they_are(lab: Lab) -> None:
    instance_id = lab.connected(facts("ws1", vcpus=2))
    overview = lab.driver.do(AskOverview())
    (environment,) = [one for one in overview.environments if one.environment.name == "lab"]
    assert environment.total == Resources(2000, 4096)
    assert "hosts that have joined it" in environment.step.text
    lab.reports(reports.InstanceAway(instance_id))
    (shown,) = [one for one in lab.driver.do(AskOverview()).instances if one.instance.instance_id == instance_id]
    assert "not connected" in shown.step.text


def test_a_job_on_a_host_has_no_container_for_a_second_command(lab: Lab) -> None:
    lab.connected(facts("ws1"))
    job = lab.driver.submit(queue="lab")
    lab.driver.started(job)
    with pytest.raises(Refused, match="a program of the machine that has joined as ws1"):
        lab.driver.do(AskRunningTask(job))
