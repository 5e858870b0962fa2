"""Simulated clients: they submit and withdraw jobs, change resources, retry when no answer comes, and check each
answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from batchyard.core.model import commands as c
from batchyard.core.model.records import AFTER_ANY_TAG, Dependency
from batchyard.core.model.refusal import Refused
from batchyard.simulator import workload as w
from batchyard.simulator.event_queue import SimulatorEventQueue
from batchyard.simulator.oracle import Oracle
from batchyard.simulator.server import NoAnswerError, Server

RETRY_MS = 150
GIVE_UP_MS = 20_000  # well within the time that idempotency keys are kept
WAIT_FOR_IDS_MS = 2000  # how long a client waits for the ids that its own request names

Serving = Callable[[], Server | None]


class _Submission(Struct):
    """One submission, over all its requests."""

    submit: w.Submit
    since_ms: int
    tries: int = 0
    in_flight: int = 0
    is_done: bool = False


class Clients:
    """Sends every request of a workload to the active server, and checks the answers against the store."""

    def __init__(
        self, seed: int, event_queue: SimulatorEventQueue, oracle: Oracle, serving: Serving, note: Callable[[str], None]
    ):
        self._seed = seed
        self._event_queue = event_queue
        self._oracle = oracle
        self._serving = serving
        self._note = note
        self._submissions: dict[int, _Submission] = {}
        self.ids: dict[int, tuple[str, int]] = {}  # number of the submission -> (job id, array size)

    # -- submissions --

    def submit(self, submit: w.Submit) -> None:
        submission = self._submissions[submit.number] = _Submission(submit, self._event_queue.now_ms)
        self._try(submission)

    def _try(self, submission: _Submission) -> None:
        if submission.is_done:
            return
        server, waited_ms = self._serving(), self._event_queue.now_ms - submission.since_ms
        if waited_ms > GIVE_UP_MS:
            submission.is_done = True
            return
        if server is None or (waited_ms < WAIT_FOR_IDS_MS and self._names_unanswered(submission.submit)):
            self._event_queue.after(RETRY_MS, lambda: self._try(submission))
            return
        submission.tries += 1
        submission.in_flight += 1
        tries = submission.tries
        server.request(
            lambda: self._command(submission.submit, tries),
            submission.submit.look_up_ms,
            lambda answer: self._on_answer(submission, answer),
        )
        if submission.submit.impatient_ms and submission.submit.keyed and tries == 1:
            self._event_queue.after(submission.submit.impatient_ms, lambda: self._try(submission))

    def _names_unanswered(self, submit: w.Submit) -> bool:
        numbers = [edge.number for edge in submit.depends_on if edge.number in self._submissions]
        return any(not self._submissions[number].is_done for number in numbers)

    def _token(self, submit: w.Submit) -> str:
        return f"token-{submit.number}" if submit.keyed else ""

    def _command(self, submit: w.Submit, tries: int) -> c.SubmitJob:
        """Returns the command that api.batch.jobs would make, with the state of the dependencies in the store now."""
        depends_on = tuple(entry for edge in submit.depends_on if (entry := self._dependency(edge)) is not None)
        named = [entry.job_id for entry in depends_on if entry.job_id]
        finished = self._oracle.disk.finished_statuses(named)
        arrays = {}
        for job_id in finished:
            job = self._oracle.find(job_id)
            if job is not None and job.array is not None:
                arrays[job_id] = c.FinishedArray(job.array.size, job.array.failed)
        strategy: dict[str, Any] = {"attempts": submit.attempts}
        if submit.rules:
            strategy["evaluateOnExit"] = list(submit.rules)
        return c.SubmitJob(
            job_id=f"{submit.number:08x}-{tries:04x}-4000-8000-{self._seed:012x}",
            name=f"job-{submit.number}",
            queue=submit.queue,
            definition=submit.definition,
            idempotency_key=self._token(submit),
            array_size=submit.array_size,
            depends_on=depends_on,
            finished=finished,
            finished_arrays=arrays,
            retry_strategy=strategy,
            timeout={"attemptDurationSeconds": submit.timeout_seconds} if submit.timeout_seconds else None,
            tags={AFTER_ANY_TAG: "true"} if submit.after_any else {},
            share_identifier=submit.share,
            scheduling_priority=submit.priority,
            consumables=w.consumable_properties(submit.consumables),
            node_overrides={"numNodes": submit.num_nodes} if submit.num_nodes else {},
        )

    def _dependency(self, edge: w.Edge) -> Dependency | None:
        if edge.number < 0:
            return Dependency("", edge.type)
        if edge.number not in self.ids:
            return None
        job_id, _ = self.ids[edge.number]
        return Dependency(job_id if edge.child is None else f"{job_id}:{edge.child}", edge.type)

    def _on_answer(self, submission: _Submission, answer: Any) -> None:
        submit, token = submission.submit, self._token(submission.submit)
        submission.in_flight -= 1
        if isinstance(answer, NoAnswerError):
            if submit.keyed:
                self._event_queue.after(RETRY_MS, lambda: self._try(submission))
            else:
                submission.is_done = True
            return
        submission.is_done = True
        if isinstance(answer, Refused):
            if not submission.in_flight:  # else the other request may have found another state
                self._oracle.check_refused(token, str(answer))
            return
        assert isinstance(answer, c.SubmittedJob), f"SubmitJob was answered with {answer!r}"
        self._note(f"job {submit.number} is answered: {answer.job_id}")
        self._oracle.check_submitted(answer.job_id, token)
        self.ids[submit.number] = answer.job_id, submit.array_size

    # -- everything else --

    def withdraw(self, operation: w.Withdraw) -> None:
        if operation.number in self.ids:
            job_id, size = self.ids[operation.number]
            if operation.child is not None and size:
                job_id = f"{job_id}:{operation.child}"
            self.stop(job_id, operation.terminate)

    def stop(self, job_id: str, terminate: bool) -> None:
        """Cancels or terminates a job, and retries until an answer comes: both operations are idempotent."""
        command = (c.TerminateJob if terminate else c.CancelJob)(job_id, "withdrawn")

        def on_answer(answer: Any) -> None:
            if isinstance(answer, NoAnswerError):
                self._event_queue.after(RETRY_MS, lambda: self.stop(job_id, terminate))
            else:
                self._oracle.check_withdrawn(job_id)

        self._ask(command, on_answer)

    def tag(self, operation: w.TagJob) -> None:
        if operation.number in self.ids:
            job_id, _ = self.ids[operation.number]
            key = self._oracle.disk.keys[job_id]
            stored = self._oracle.disk.spec(key).tags
            self.ask_once(c.TagResource("job", job_id, operation.tags, key, stored))

    def ask_once(self, command: c.Command[object]) -> None:
        """Sends a command once; after a lost answer it stays unknown whether it was done."""
        self._ask(command, lambda answer: None)

    def ask_until_accepted(self, command: c.Command[object]) -> None:
        """Sends a command again while an earlier change is under way, or a compute environment is not VALID."""
        since_ms = self._event_queue.now_ms

        def ask() -> None:
            self._ask(command, on_answer)

        def on_answer(answer: Any) -> None:
            is_for_now = isinstance(answer, Refused) and self._is_for_now(command, str(answer))
            # A creation that may have been done is not repeated: it could create again what was deleted since.
            is_lost = isinstance(answer, NoAnswerError) and not isinstance(command, c.CreateComputeEnvironment)
            if (is_for_now or is_lost) and self._event_queue.now_ms - since_ms <= GIVE_UP_MS:
                self._event_queue.after(RETRY_MS, ask)

        ask()

    def _is_for_now(self, command: c.Command[object], refusal: str) -> bool:
        if isinstance(command, c.CreateComputeEnvironment):
            return self._oracle.settling.is_leaving("environment", command.name)
        return "resource is being modified" in refusal or "must be created and valid" in refusal

    def _ask(self, command: c.Command[object], on_answer: Callable[[Any], None]) -> None:
        server = self._serving()
        if server is None:
            self._event_queue.after(RETRY_MS, lambda: self._ask(command, on_answer))
        else:
            server.request(lambda: command, 0, on_answer)
