"""The containers of one task: which may start now, which never will, and when the task ends (AWS Batch behaviour 6.10).

The rules are values without clock or I/O: an engine enters what it saw and asks what follows. After a restart it enters
what it finds: first all containers that were ever started, then all that have ended.
"""

from __future__ import annotations

from collections.abc import Sequence

from batchyard.core.model.records import ContainerDependency, ContainerSpec
from batchyard.core.model.reports import ContainerExit

ENDED_BEFORE_START = "The task ended before this container was started."


class ContainerGroup:
    """The states of a task's containers: each waits, then runs, then has ended. A container that can never start
    goes from waiting to ended."""

    def __init__(self, containers: Sequence[ContainerSpec]) -> None:
        self.specs = {spec.name: spec for spec in containers}
        self._running: set[str] = set()
        self._ended: dict[str, ContainerExit] = {}
        self._never_ran: set[str] = set()
        self._late: set[str] = set()  # those whose startTimeout has passed

    # -- Events --

    def started(self, name: str) -> None:
        assert name in self.waiting(), f"the container {name} does not wait: it can't be started"
        self._running.add(name)

    def ended(self, outcome: ContainerExit) -> None:
        """Enters that a container ran and ended, or could not be started (`outcome.reason` gives the reason)."""
        name = outcome.name
        assert name not in self._ended, f"the container {name} ends twice"
        if name not in self._running:
            self._never_ran.add(name)
        self._running.discard(name)
        self._ended[name] = outcome
        self._fail_unreachable()
        if self.is_ending:
            self.cancel_pending()

    def start_timed_out(self, name: str) -> None:
        """Enters that its startTimeout has passed: containers that still wait for its end never start."""
        self._late.add(name)
        self._fail_unreachable()
        if self.is_ending:
            self.cancel_pending()

    def cancel_pending(self) -> None:
        """Ends every container that has not been started: the task is being stopped."""
        for name in self.waiting():
            self._never_starts(name, ENDED_BEFORE_START)

    # -- State --

    def waiting(self) -> list[str]:
        return [name for name in self.specs if name not in self._running and name not in self._ended]

    def running(self) -> list[str]:
        return [name for name in self.specs if name in self._running]

    def startable(self) -> list[str]:
        """Returns the waiting containers whose dependencies are all met."""
        return [name for name in self.waiting() if all(self._is_met(d) for d in self.specs[name].depends_on)]

    def stoppable(self) -> list[str]:
        """Returns the running containers that can be stopped now: a pause container only after all others, which end
        with what it holds."""
        running = self.running()
        return [name for name in running if not self.specs[name].is_pause] or running

    @property
    def is_ending(self) -> bool:
        """Whether an essential container has ended or can never start, or only the pause container of a pod is left:
        the others must be stopped."""
        if any(self.specs[name].essential for name in self._ended):
            return True
        return all(spec.is_pause or name in self._ended for name, spec in self.specs.items())

    @property
    def is_over(self) -> bool:
        return len(self._ended) == len(self.specs)

    @property
    def ever_ran(self) -> bool:
        return bool(self._running) or len(self._ended) > len(self._never_ran)

    def exits(self) -> tuple[ContainerExit, ...]:
        """Returns the exits of the containers that have ended, in the order of the definition."""
        return tuple(self._ended[name] for name in self.specs if name in self._ended)

    def _is_met(self, dependency: ContainerDependency) -> bool:
        target = dependency.container
        if dependency.condition == "START":
            return target in self._running or (target in self._ended and target not in self._never_ran)
        if target not in self._ended or target in self._never_ran:
            return False
        return dependency.condition == "COMPLETE" or self._ended[target].exit_code == 0

    def _fail_unreachable(self) -> None:
        """Ends the waiting containers with a dependency that can no longer be met, and so on down the chain."""
        again = True
        while again:
            again = False
            for name in self.waiting():
                reason = next(filter(None, map(self._unreachable_reason, self.specs[name].depends_on)), "")
                if reason:
                    self._never_starts(name, reason)
                    again = True

    def _unreachable_reason(self, dependency: ContainerDependency) -> str:
        target = dependency.container
        begin = f"It was not started: it depends on {target} ({dependency.condition}), which "
        if target in self._never_ran:
            return begin + "never ran."
        if dependency.condition == "SUCCESS" and target in self._ended and self._ended[target].exit_code != 0:
            return begin + f"ended with exit code {self._ended[target].exit_code}."
        if target in self._late and target not in self._ended and dependency.condition != "START":
            return begin + f"did not end within its startTimeout of {self.specs[target].start_timeout_seconds} s."
        return ""

    def _never_starts(self, name: str, reason: str) -> None:
        self._never_ran.add(name)
        self._ended[name] = ContainerExit(name=name, reason=reason)


def grace_of(container: ContainerSpec, grace_seconds: float) -> float:
    """Returns the seconds between SIGTERM and SIGKILL for the container, in a stop with that grace."""
    own = container.stop_timeout_seconds
    return float(own) if own and grace_seconds > 0 else grace_seconds
