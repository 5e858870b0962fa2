"""CPU time of the core alone for one child of an array: submitted, placed, started and ended, with no store, engine or
HTTP around it. `python -m bench.core [CHILDREN]` prints microseconds a child.

A count of instructions does not depend on neighbours; two sizes give the count of one child:
`valgrind --tool=cachegrind --cache-sim=no python -m bench.core 500`, the same with 2500, and the difference by 2000."""

from __future__ import annotations

import gc
import sys
import time

from batchyard.core.machine import Machine
from batchyard.core.model import commands
from batchyard.core.model.effects import Effect, LaunchTask
from batchyard.core.model.names import Account
from batchyard.core.model.records import Abilities, EnvironmentOrder, Instance
from batchyard.core.model.reports import ContainerExit, Exited, Started
from batchyard.core.model.resources import Resources

CHILDREN = 5000
ENGINE = "process"
HOST = Instance("i-0123456789abcdef0", Resources(64_000, 1 << 20), ())  # 64 children at a time
ASKED = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "128"}]
DEFINITION = {
    "type": "container",
    "containerProperties": {"image": "any", "command": ["true"], "resourceRequirements": ASKED},
}


def prepared_machine() -> Machine:
    """Returns a machine with one environment, one queue and one definition."""
    machine = Machine(Account("123456789012", "us-east-1"))
    order = (EnvironmentOrder(1, "local"),)
    for command in (
        commands.SetHost(HOST, {ENGINE: Abilities()}),
        commands.CreateComputeEnvironment("local", "u", "UNMANAGED", "ENABLED", ENGINE, {}, is_settled=True),
        commands.CreateJobQueue("default", "ENABLED", 1, order, is_settled=True),
        commands.RegisterJobDefinition("work", DEFINITION),
    ):
        machine.handle(command, 1)
    machine.schedule(1)
    machine.take()
    return machine


def run_array(machine: Machine, children: int) -> float:
    """Runs an array to its end, and returns the CPU seconds that this took."""
    gc.collect()
    start = time.process_time()
    now_ms, ended = 2, 0
    machine.handle(commands.SubmitJob(f"{0:032x}", "array", "default", "work", array_size=children), now_ms)
    machine.schedule(now_ms)
    _, effects = machine.take()
    while launches := [effect for effect in effects if isinstance(effect, LaunchTask)]:
        now_ms += 1
        for launch in launches:
            machine.report(ENGINE, Started(launch.attempt_id, now_ms), now_ms)
        more = _finish_batch(machine, now_ms)
        now_ms += 1
        for launch in launches:
            exits = (ContainerExit(exit_code=0),)
            machine.report(ENGINE, Exited(launch.attempt_id, now_ms - 1, now_ms, exits), now_ms)
        ended += len(launches)
        effects = [*more, *_finish_batch(machine, now_ms)]
    seconds = time.process_time() - start
    assert ended == children, f"{ended} of {children} children ended"
    return seconds


def _finish_batch(machine: Machine, now_ms: int) -> list[Effect]:
    machine.schedule(now_ms)
    return machine.take()[1]


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else CHILDREN
    print(f"{run_array(prepared_machine(), count) / count * 1e6:.1f} µs of CPU a child, array of {count}")
