"""How much the service has, how much of it is free, and how many jobs run and wait."""

from batchyard.core.questions.capacity import AskCapacity, CapacityAnswer
from tests.core.driver import Driver


def test_running_and_waiting_jobs_are_counted_children_singly() -> None:
    driver = Driver(vcpus=2, memory_mib=1024, gpus=1)
    assert driver.do(AskCapacity()) == CapacityAnswer(2000, 1024, 1, 2000, 1024, 1, 0, 0)
    driver.submit(array_size=3)
    driver.submit()
    assert driver.do(AskCapacity()) == CapacityAnswer(2000, 1024, 1, 0, 1024 - 2 * 64, 1, 2, 2)
    driver.exited(driver.placed()[0])
    assert driver.do(AskCapacity()) == CapacityAnswer(2000, 1024, 1, 0, 1024 - 2 * 64, 1, 2, 1)
