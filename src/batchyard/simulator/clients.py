"""Those who ask: they submit, withdraw and change things, ask again when no answer came, and check what they hear."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from batchyard.core.model import commands as c
from batchyard.core.model.records import AFTER_ANY_TAG, Dependency
from batchyard.core.model.refusal import Refused
from batchyard.simulator import workload as w
from batchyard.simulator.agenda import Agenda
from batchyard.simulator.server import NoAnswerError, Server
from batchyard.simulator.witness import Witness

ASK_AGAIN_MS = 150
GIVES_UP_MS = 20_000  # well within the time that idempotency keys are kept
PATIENT_MS = 2000  # how long a client waits for the ids that its own request names

Serving = Callable[[], Server | None]


class _Wish(Struct):
    """One submission, over all its requests."""

    submit: w.Submit
    since_ms: int
    tries: int = 0
    in_flight: int = 0
    is_done: bool = False


class Clients:
    def __init__(self, seed: int, agenda: Agenda, witness: Witness, serving: Serving, note: Callable[[str], None]):
        self._seed = seed
        self._agenda = agenda
        self._witness = witness
        self._serving = serving
        self._note = note
        self._wishes: dict[int, _Wish] = {}
        self.ids: dict[int, tuple[str, int]] = {}  # number of the submission -> (job id, array size)

    # -- submissions --

    def submit(self, submit: w.Submit) -> None:
        wish = self._wishes[submit.number] = _Wish(submit, self._agenda.now_ms)
        self._try(wish)

    def _try(self, wish: _Wish) -> None:
        if wish.is_done:
            return
        server, waited_ms = self._serving(), self._agenda.now_ms - wish.since_ms
        if waited_ms > GIVES_UP_MS:
            wish.is_done = True
            return
        if server is None or (waited_ms < PATIENT_MS and self._names_unanswered(wish.submit)):
            self._agenda.after(ASK_AGAIN_MS, lambda: self._try(wish))
            return
        wish.tries += 1
        wish.in_flight += 1
        tries = wish.tries
        server.request(
            lambda: self._command(wish.submit, tries),
            wish.submit.look_up_ms,
            lambda answer: self._heard(wish, answer),
        )
        if wish.submit.impatient_ms and wish.submit.keyed and tries == 1:
            self._agenda.after(wish.submit.impatient_ms, lambda: self._try(wish))

    def _names_unanswered(self, submit: w.Submit) -> bool:
        numbers = [edge.number for edge in submit.depends_on if edge.number in self._wishes]
        return any(not self._wishes[number].is_done for number in numbers)

    def _token(self, submit: w.Submit) -> str:
        return f"token-{submit.number}" if submit.keyed else ""

    def _command(self, submit: w.Submit, tries: int) -> c.SubmitJob:
        """As api.jobs.submission makes it, with what the store says now about the dependencies."""
        depends_on = tuple(entry for edge in submit.depends_on if (entry := self._dependency(edge)) is not None)
        named = [entry.job_id for entry in depends_on if entry.job_id]
        finished = self._witness.disk.finished_statuses(named)
        arrays = {}
        for job_id in finished:
            job = self._witness.find(job_id)
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
        )

    def _dependency(self, edge: w.Edge) -> Dependency | None:
        if edge.number < 0:
            return Dependency("", edge.type)
        if edge.number not in self.ids:
            return None
        job_id, _ = self.ids[edge.number]
        return Dependency(job_id if edge.child is None else f"{job_id}:{edge.child}", edge.type)

    def _heard(self, wish: _Wish, answer: Any) -> None:
        submit, token = wish.submit, self._token(wish.submit)
        wish.in_flight -= 1
        if isinstance(answer, NoAnswerError):
            if submit.keyed:
                self._agenda.after(ASK_AGAIN_MS, lambda: self._try(wish))
            else:
                wish.is_done = True
            return
        wish.is_done = True
        if isinstance(answer, Refused):
            if not wish.in_flight:  # else the other request may have found the world otherwise
                self._witness.check_refused(token, str(answer))
            return
        assert isinstance(answer, c.SubmittedJob), f"SubmitJob was answered with {answer!r}"
        self._note(f"job {submit.number} is answered: {answer.job_id}")
        self._witness.check_submitted(answer.job_id, token)
        self.ids[submit.number] = answer.job_id, submit.array_size

    # -- everything else --

    def withdraw(self, operation: w.Withdraw) -> None:
        if operation.number in self.ids:
            job_id, size = self.ids[operation.number]
            if operation.child is not None and size:
                job_id = f"{job_id}:{operation.child}"
            self.stop(job_id, operation.terminate)

    def stop(self, job_id: str, terminate: bool) -> None:
        """CancelJob and TerminateJob may be asked again as often as one likes."""
        command = (c.TerminateJob if terminate else c.CancelJob)(job_id, "withdrawn")

        def heard(answer: Any) -> None:
            if isinstance(answer, NoAnswerError):
                self._agenda.after(ASK_AGAIN_MS, lambda: self.stop(job_id, terminate))
            else:
                self._witness.check_withdrawn(job_id)

        self._ask(command, heard)

    def tag(self, operation: w.TagJob) -> None:
        if operation.number in self.ids:
            job_id, _ = self.ids[operation.number]
            key = self._witness.disk.keys[job_id]
            stored = self._witness.disk.spec(key).tags
            self.once(c.TagResource("job", job_id, operation.tags, key, stored))

    def once(self, command: c.Command) -> None:
        """Asked once; whether it was done before the answer was lost stays unknown."""
        self._ask(command, lambda answer: None)

    def patiently(self, command: c.Command) -> None:
        """Asked again for as long as an earlier change is under way, or a compute environment is not VALID."""
        since_ms = self._agenda.now_ms

        def ask() -> None:
            self._ask(command, heard)

        def heard(answer: Any) -> None:
            is_for_now = isinstance(answer, Refused) and self._is_for_now(command, str(answer))
            # A creation that may have been done is not asked again: it could make again what was deleted since.
            is_lost = isinstance(answer, NoAnswerError) and not isinstance(command, c.CreateComputeEnvironment)
            if (is_for_now or is_lost) and self._agenda.now_ms - since_ms <= GIVES_UP_MS:
                self._agenda.after(ASK_AGAIN_MS, ask)

        ask()

    def _is_for_now(self, command: c.Command, refusal: str) -> bool:
        if isinstance(command, c.CreateComputeEnvironment):
            return self._witness.settling.is_leaving("environment", command.name)
        return "resource is being modified" in refusal or "must be created and valid" in refusal

    def _ask(self, command: c.Command, heard: Callable[[Any], None]) -> None:
        server = self._serving()
        if server is None:
            self._agenda.after(ASK_AGAIN_MS, lambda: self._ask(command, heard))
        else:
            server.request(lambda: command, 0, heard)
