"""What there is to run on, as the machine knows it."""

from batchyard.core.model.resources import Resources
from batchyard.core.questions.inventory import AskInstances, Inventory
from tests.core.driver import Driver


def test_the_inventory_counts_what_is_free_and_what_runs() -> None:
    driver = Driver(vcpus=4, memory_mib=4096, gpus=2)
    driver.define()
    empty: Inventory = driver.do(AskInstances())
    (stock,) = empty.instances
    assert (stock.free, stock.free_gpu_ids, empty.tasks) == (Resources(4000, 4096, 2), (0, 1), ())
    running, starting = driver.submit(), driver.submit()
    driver.started(running)
    held: Inventory = driver.do(AskInstances())
    (environment,) = {count.environment for count in held.tasks}
    instance_id = stock.instance.instance_id
    assert (held.running(environment), held.pending(environment)) == (1, 1)
    assert (held.running(environment, instance_id), held.running(environment, "i-other")) == (1, 0)
    assert held.running("another") == held.pending("another") == 0
    asked = driver.machine.world.jobs.specs[driver.machine.world.jobs.by_id[starting]].task.resources
    assert held.instances[0].free == Resources(4000, 4096, 2).minus(asked).minus(asked)
    driver.exited(running)
    assert driver.do(AskInstances()).running(environment) == 0
