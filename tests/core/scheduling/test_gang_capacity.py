"""Capacity for all nodes of a job at once, and what is said while there is none (AWS Batch behaviour 8.3)."""

import pytest

from batchyard.core.model.records import Status
from batchyard.core.model.resources import Resources
from batchyard.core.questions.explanation import AskExplain, Explanation
from batchyard.core.scheduling.gang_capacity import needs_of
from tests.core.driver import Driver

of_two = {"overrides": {"resourceRequirements": [{"type": "VCPU", "value": "2"}]}}


def why(driver: Driver, job: str) -> Explanation:
    found = driver.do(AskExplain(job))
    assert found is not None
    return found


def test_a_gang_starts_whole_or_not_at_all() -> None:
    driver = Driver(vcpus=4)
    small = driver.submit(**of_two)
    driver.define_nodes(count=3)
    job = driver.submit("gang")
    assert driver.placed() == [small]
    found = why(driver, job)
    assert found.text.startswith(
        "It is next, and waits for room. It needs room for all 3 nodes at once, and node 2 finds none beside the "
        "others: 1 vCPU asked, 0 free."
    )
    driver.exited(small)
    assert driver.placed() == [f"{job}#0"]


def test_a_waiting_gang_is_not_overtaken_by_what_would_delay_it() -> None:
    driver = Driver(vcpus=4)
    running = driver.submit(**of_two)
    driver.define_nodes(count=3)
    job = driver.submit("gang")
    late = driver.submit()
    assert driver.status(late) is Status.RUNNABLE, "it would take what the gang waits for"
    driver.exited(running)
    assert driver.placed() == sorted([f"{job}#0", late]), "three nodes and one more vCPU"


def test_two_gangs_that_do_not_fit_together_run_one_after_the_other() -> None:
    driver = Driver(vcpus=4)
    driver.queue("other")
    driver.define_nodes(count=3)
    first, second = driver.submit("gang"), driver.submit("gang", queue="other")
    third = driver.submit("gang")
    order = []
    while driver.launched:
        (job,) = (name.partition("#")[0] for name in driver.placed())
        order.append(job)
        driver.exited(f"{job}#0")
    assert sorted(order) == sorted([first, second, third])


def test_what_could_never_run_says_so() -> None:
    driver = Driver(vcpus=4)
    driver.define_nodes(count=5)
    found = why(driver, driver.submit("gang"))
    assert found.wait == "TOO_LARGE"
    assert "5 vCPUs asked, 4 at most there (--vcpus)." in found.text
    assert "That is for all of its 5 nodes at once." in found.text


def test_instances_are_launched_for_all_nodes_and_they_start_together() -> None:
    driver = Driver(vcpus=16, memory_mib=65536)
    driver.fleet("yard", "c5.large", most=8)
    driver.define_nodes(count=3, vcpus="2")
    job = driver.submit("gang", queue="yard")
    assert len(driver.launching) == 3
    assert why(driver, job).text == "3 instances are being launched in yard for its 3 nodes."
    ids = list(driver.launching)
    driver.booted(*ids[:2])
    driver.tick(3_600_000)
    assert driver.terminated == [], "those that are ready wait for the last"
    assert driver.placed() == []
    driver.booted(ids[2])
    assert driver.placed() == [f"{job}#0"]
    driver.started(f"{job}#0")
    assert {launch.attempt_node.instance_id for launch in driver.launched.values()} == {*ids}


def test_nothing_is_launched_for_a_part_of_the_nodes() -> None:
    driver = Driver(vcpus=4, memory_mib=65536)
    driver.fleet("one", "c5.large", most=8)
    driver.fleet("two", "c5.large", most=8)
    small = driver.submit(queue="one")
    driver.booted()
    driver.define_nodes(count=2, vcpus="2")
    job = driver.submit("gang", queue="two")
    assert driver.instances("two") == []
    found = why(driver, job)
    assert found.wait == "NO_CAPACITY"
    assert "It needs room for all 2 nodes at once" in found.text
    driver.exited(small)
    driver.tick(60_000)
    driver.gone()
    assert len(driver.instances("two")) == 2


def test_two_gangs_in_two_environments_do_not_hold_each_other_up() -> None:
    driver = Driver(vcpus=8, memory_mib=65536)
    driver.fleet("one", "c5.large", most=8)
    driver.fleet("two", "c5.large", most=8)
    driver.define_nodes(count=3, vcpus="2")
    first, second = driver.submit("gang", queue="one"), driver.submit("gang", queue="two")
    assert (len(driver.instances("one")), len(driver.instances("two"))) == (3, 0)
    driver.booted()
    driver.exited(f"{first}#0")
    driver.tick(60_000)
    driver.gone()
    driver.booted()
    assert driver.placed() == [f"{second}#0"]


def test_others_leave_the_room_where_the_rest_of_a_gang_is_being_launched() -> None:
    driver = Driver(vcpus=16, memory_mib=65536)
    driver.fleet("yard", "c5.large", most=8)
    driver.queue("both", "yard", "local")
    driver.submit(overrides={"resourceRequirements": [{"type": "VCPU", "value": "8"}]})
    small = driver.submit(queue="yard")
    driver.booted()
    driver.exited(small)
    driver.define_nodes(count=3, vcpus="2")
    job = driver.submit("gang", queue="both")
    assert len(driver.launching) == 2, "one instance is there, and free"
    late = driver.submit(queue="both")
    attempt = driver.job(late).attempt
    assert attempt is not None
    assert attempt.environment == "local", "the free instance is kept for the gang, though this host could hold it, too"
    driver.booted()
    assert f"{job}#0" in driver.placed()
    assert len(driver.instances("yard")) == 3


def test_a_gang_goes_on_to_its_next_environment_where_another_gathers_in_the_first() -> None:
    driver = Driver(vcpus=16, memory_mib=65536)
    driver.fleet("yard", "c5.large", most=6)
    driver.queue("zoo", "yard", "local")
    driver.define_nodes(count=3, vcpus="2")
    first, second = driver.submit("gang", queue="yard"), driver.submit("gang", queue="zoo")
    assert len(driver.launching) == 3
    assert driver.placed() == [f"{second}#0"], "yard has maxvCpus for the first alone"
    driver.booted()
    assert driver.placed() == sorted([f"{first}#0", f"{second}#0"])


def test_instances_that_are_too_small_for_a_gang_make_room_for_it() -> None:
    driver = Driver(vcpus=8, memory_mib=65536)
    driver.fleet("yard", "c5.large", "c5.xlarge", most=8)
    driver.define_nodes(count=2, vcpus="4")
    first = []
    for _ in range(4):
        first.append(driver.submit(queue="yard", **of_two))
        driver.booted()
    job = driver.submit("gang", queue="yard")
    late = [driver.submit(queue="yard", **of_two) for _ in range(3)]
    for small in first:
        driver.exited(small)
    assert {driver.status(one) for one in late} == {Status.RUNNABLE}, "they would keep the small instances busy"
    driver.tick(600_000)
    driver.gone()
    driver.tick(60_000)
    assert [one.instance_type for one in driver.instances("yard")] == ["c5.xlarge", "c5.xlarge"]
    driver.booted()
    assert driver.placed() == [f"{job}#0"]


@pytest.mark.parametrize(
    ("most", "text"),
    [(4, "maxvCpus of yard is 4"), (64, "this host offers 8 vCPUs")],
)
def test_an_environment_that_can_never_hold_all_nodes_says_so(most: int, text: str) -> None:
    driver = Driver(vcpus=8, memory_mib=65536)
    driver.fleet("yard", "c5.large", most=most)
    driver.define_nodes(count=5, vcpus="2")
    found = why(driver, driver.submit("gang", queue="yard"))
    assert "Its 5 nodes ask 10 vCPUs" in found.text
    assert text in found.text
    assert driver.launching == {}


def test_needs_are_grouped_the_largest_first() -> None:
    small, large = Resources(1000), Resources(2000)
    assert [(need.resources, need.count) for need in needs_of((small, large, small))] == [(large, 1), (small, 2)]
