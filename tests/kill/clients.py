"""Clients that go on submitting while what they talk to dies and comes back."""

from __future__ import annotations

import random
import threading
import uuid
from typing import Any, NamedTuple

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.kill.yard import RefusedError, Yard
from tests.waiting import until

PATIENCE_SECONDS = 120.0
IMPATIENT_SECONDS = 0.002  # gives up before the answer is there, and asks again
SDK_ATTEMPTS = 6


class Accepted(NamedTuple):
    job_id: str
    name: str
    plan: list[int]
    size: int
    after: str  # the job it depends on


class Clients:
    """Threads that submit singles, arrays, dependencies and retries, each with its own chances."""

    def __init__(self, yard: Yard, seed: int, count: int = 3) -> None:
        self._yard = yard
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.accepted: dict[str, Accepted] = {}
        self.names: set[str] = set()  # of everything that was tried
        self.refused: list[str] = []
        self.unanswered = 0  # by the SDK's own retries
        self.repeats = 0  # tries after the first
        self._errors: list[BaseException] = []
        work = [(self._submit_for_ever, f"{seed}/{number}") for number in range(count)] + [
            (self._use_sdk, f"{seed}/sdk")
        ]
        self._threads = [threading.Thread(target=self._guarded, args=entry, daemon=True) for entry in work]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive(), "a client never got its answer"
        assert not self._errors, self._errors

    def _guarded(self, work: Any, chances: str) -> None:
        try:
            work(random.Random(chances))
        except BaseException as error:  # noqa: BLE001 - told by `stop`
            self._errors.append(error)

    def _plan(self, chance: random.Random, mine: list[Accepted]) -> tuple[dict[str, Any], Accepted]:
        """A request, and what is to become of it."""
        name = f"job-{uuid.UUID(int=chance.getrandbits(128)).hex}"
        kind = chance.choice(("single", "single", "array", "after", "retry"))
        plan, size, after = "0", 0, ""
        if kind == "array":
            size = chance.randint(2, 5)
        elif kind == "retry":
            plan = chance.choice(("7 0", "7 7 0", "7 7"))
        elif kind == "after":
            single = [one.job_id for one in mine[-5:] if not one.size]
            after = chance.choice(single) if single else ""
        nap = f"{chance.uniform(0, 0.5):.3f}"
        document = self._yard.submission(name, plan, nap, size, after)
        return document, Accepted("", name, [int(code) for code in plan.split()], size, after)

    def _submit_for_ever(self, chance: random.Random) -> None:
        mine: list[Accepted] = []
        while not self._stop.wait(chance.uniform(0, 0.3)):
            document, planned = self._plan(chance, mine)
            with self._lock:
                self.names.add(planned.name)
            invocation = str(uuid.UUID(int=chance.getrandbits(128)))
            tries = 0

            def attempt() -> Any:
                nonlocal tries
                tries += 1
                hasty = tries == 1 and chance.random() < 0.2
                return self._yard.try_call("SubmitJob", document, invocation, IMPATIENT_SECONDS if hasty else 30.0)  # noqa: B023

            try:
                answer = until(attempt, PATIENCE_SECONDS, "an answer to SubmitJob")
            except RefusedError as refusal:
                with self._lock:
                    self.refused.append(str(refusal))
                continue
            assert "jobId" in answer, f"no answer to SubmitJob: {answer}"
            mine.append(planned._replace(job_id=answer["jobId"]))
            with self._lock:
                self.repeats += tries - 1
                assert answer["jobId"] not in self.accepted, "two submissions, one job"
                self.accepted[answer["jobId"]] = mine[-1]

    def _use_sdk(self, chance: random.Random) -> None:
        batch = boto3.client(
            "batch", endpoint_url=self._yard.address, region_name="us-east-1",
            aws_access_key_id="any", aws_secret_access_key="any",
            config=Config(retries={"mode": "standard", "max_attempts": SDK_ATTEMPTS}, read_timeout=30),
        )  # fmt: skip
        while not self._stop.wait(chance.uniform(0, 0.4)):
            document, planned = self._plan(chance, [])
            with self._lock:
                self.names.add(planned.name)
            try:
                answer = batch.submit_job(**document)
            except (BotoCoreError, ClientError):  # gave up: the job may be there or not, but never twice
                self.unanswered += 1
                continue
            assert "jobId" in answer, f"no answer to SubmitJob: {answer}"
            with self._lock:
                self.repeats += answer["ResponseMetadata"]["RetryAttempts"]
                self.accepted[answer["jobId"]] = planned._replace(job_id=answer["jobId"])
