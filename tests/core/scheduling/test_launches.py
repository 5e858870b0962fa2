"""The launches of placed attempts: what each node gets, and what engines are asked after a restart (AWS Batch behaviour
7.3, 8.3)."""

from batchyard.core.scheduling import launches
from tests.core.driver import Driver


def test_after_a_restart_an_engine_is_asked_about_each_node() -> None:
    driver = Driver()
    job = driver.submit()
    world = driver.machine.world
    (asked,) = launches.recoveries_of(world, world.jobs[world.jobs.by_id[job]])
    assert (asked.may_launch, asked.known_started, asked.launch) == (True, False, driver.launched[asked.attempt_id])
    driver.started(job)
    (asked,) = launches.recoveries_of(world, world.jobs[world.jobs.by_id[job]])
    assert (asked.may_launch, asked.known_started) == (False, True)


def test_each_node_gets_the_variables_of_its_own() -> None:
    driver = Driver()
    driver.define_nodes(count=3, main=1)
    job = driver.submit("gang")
    (main,) = driver.launched.values()
    variables = dict(main.environment)
    assert variables["AWS_BATCH_JOB_ID"] == main.job_id == f"{job}#1"
    own = ("NUM_NODES", "NODE_INDEX", "MAIN_NODE_INDEX")
    assert [variables[f"AWS_BATCH_JOB_{name}"] for name in own] == ["3", "1", "1"]
    assert "AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS" not in variables
    driver.started(f"{job}#1")
    child = next(one for one in driver.launched.values() if one.job_id == f"{job}#2")
    variables = dict(child.environment)
    assert variables["AWS_BATCH_JOB_NODE_INDEX"] == "2"
    assert child.gang is not None
    assert variables["AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS"] == child.gang.addresses[1]
    assert child.log_stream.endswith(child.attempt_node.task_id)
    assert child.log_stream != main.log_stream


def test_nodes_of_other_ranges_have_tasks_and_keys_of_their_own() -> None:
    driver = Driver()
    asked = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]
    base = {"image": "busybox", "resourceRequirements": asked}
    one, other = (base | {"command": [word]} for word in ("main", "worker"))
    ranges = [{"targetNodes": "0", "container": one}, {"targetNodes": "1:", "container": other}]
    driver.define_nodes(count=3, ranges=ranges)
    job = driver.submit("gang")
    driver.started(f"{job}#0")
    commands = {launch.job_id[-2:]: launch.task.command for launch in driver.launched.values()}
    assert commands == {"#0": ("main",), "#1": ("worker",), "#2": ("worker",)}
    keys = {launch.task.command: launch.spec_key for launch in driver.launched.values()}
    assert len(set(keys.values())) == 2
    assert max(keys.values()) < 0


def test_two_gangs_have_no_address_in_common() -> None:
    driver = Driver()
    driver.define_nodes(count=2)
    for _ in range(2):
        driver.submit("gang")
    first, second = ({*launch.gang.addresses} for launch in driver.launched.values() if launch.gang is not None)
    assert not first & second
