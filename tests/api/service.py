"""The Batch operations on a real machine and a real store, called by boto3 without a network."""

import asyncio
import hashlib
import itertools
import uuid
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import boto3
from botocore.awsrequest import AWSResponse
from botocore.config import Config

from batchyard.alarms import commands as alarm_commands
from batchyard.alarms.machine import AlarmsMachine, EvaluateAlarms
from batchyard.alarms.records import METRIC
from batchyard.api import operations
from batchyard.api.context import Call, Context, MetricAccess, Settings
from batchyard.api.integrations import argument_faults
from batchyard.api.services import SERVICES
from batchyard.core.machine import Machine
from batchyard.core.model import commands, reports
from batchyard.core.model.deliveries import Message
from batchyard.core.model.effects import LaunchTask
from batchyard.core.model.names import Account
from batchyard.core.model.records import Abilities, Instance
from batchyard.core.model.refusal import Refused
from batchyard.core.model.resources import Resources
from batchyard.deliveries.machine import DeliveryMachine
from batchyard.events.api_destinations import ApiDestinationsMachine
from batchyard.events.machine import EventsMachine
from batchyard.iam.machine import IamMachine
from batchyard.observe.log_filters import LogFilters
from batchyard.schedules.machine import SchedulesMachine
from batchyard.server.launch.cipher import KeyFileCipher
from batchyard.server.metrics.alarm_evaluator import evaluate
from batchyard.server.settings.catalogue_file import load_catalogue
from batchyard.store.logs.log_reader import LogReader
from batchyard.store.logs.log_writer import LogWriter
from batchyard.store.metrics.metric_store import MetricStore
from batchyard.store.store import Store
from batchyard.timers.machine import TimerMachine
from batchyard.topics.machine import TopicsMachine
from batchyard.wire.compression import inflated
from batchyard.wire.messages import MAX_BODY_BYTES, Request, WireError
from batchyard.wire.model import load_service_model
from batchyard.wire.router import Router
from batchyard.workflows.machine import WorkflowsMachine
from batchyard.workflows.registry import Registry

ACCOUNT = Account("123456789012", "us-east-1")
ENGINE = "process"
START_MS = 1_700_000_000_000
ROLE = "arn:aws:iam::123456789012:role/BatchServiceRole"

ROUTER = Router([load_service_model(name) for name in SERVICES], check_results=True)
STATUS_OF_CODE = {"DryRunOperation": 412}  # as the server has it


class _Body:
    """What botocore reads of a response."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: object) -> Any:
        yield self._body


@cache
def _client(name: str) -> Any:
    """Made once: botocore reads the whole of its models for each."""
    session = boto3.Session("AKIDEXAMPLE", "secret", region_name=ACCOUNT.region)
    config = Config(retries={"total_max_attempts": 1}, inject_host_prefix=False)
    return session.client(name, endpoint_url="http://127.0.0.1:1", config=config)


class _Control:
    """A running service for its own operations; what Shutdown asked is in `ended`."""

    def __init__(self) -> None:
        self.ended: list[bool] = []

    async def describe(self) -> dict[str, Any]:
        return {
            "version": "1.0",
            "role": "active",
            "engines": [],
            "store": "sqlite",
            "dataDirectory": "/data",
            "address": "http://127.0.0.1:1",
            "processId": 1,
            "findings": [],
        }

    def end(self, kill: bool) -> None:
        self.ended.append(kill)


class Service:
    """Time stands still but for `tick` and `end`; the test plays the engine."""

    def __init__(self, directory: Path, settings: Settings | None = None) -> None:
        self.now_ms = START_MS
        self.trace_parent = ""  # the header of what boto3 calls
        self.principal = "tester"  # the signer of what boto3 calls
        self.machine = Machine(ACCOUNT, catalogue=load_catalogue())
        self.events, self.deliveries = EventsMachine(ACCOUNT), DeliveryMachine()
        self.iam = IamMachine(ACCOUNT)
        self.api_destinations = ApiDestinationsMachine()
        self.topics = TopicsMachine()
        self.schedules, self.timers = SchedulesMachine(ACCOUNT, ZoneInfo), TimerMachine()
        self.alarms = AlarmsMachine(ACCOUNT, self.topics.has_topic)
        self.workflows = WorkflowsMachine(ACCOUNT, Registry(ACCOUNT), argument_faults)
        self.messages: list[Message] = []  # to targets outside, in the order in which they came up
        self.writer = Store.open(directory / "yard.db").writer()
        self.writer.open(ACCOUNT.account_id, ACCOUNT.region)
        self.reader = Store.open(directory / "yard.db").reader()
        self.log_writer = LogWriter(directory / "logs.db", lambda: self.now_ms)
        self.log_writer.open()
        self.metrics = MetricStore(directory / "metrics.db")
        self.asked: list[commands.Command[object]] = []
        self.launched: dict[str, LaunchTask] = {}  # by job id, the latest
        numbers = itertools.count(1)
        self.context = Context(
            account=ACCOUNT,
            ask=self._ask,
            reader=self.reader,
            new_uuid=lambda: str(uuid.UUID(int=next(numbers), version=4)),
            logs_directory=directory,
            cipher=KeyFileCipher(directory / "secrets.key", directory / "data"),
            log_writer=self.log_writer,
            log_reader=LogReader(directory / "logs.db"),
            log_filters=LogFilters(ACCOUNT.account_id),
            host_vcpus=4,
            host_name="yard.example",
            catalogue=load_catalogue(),
            settings=settings or Settings(),
            control=_Control(),
            metrics=MetricAccess(self.metrics, lambda: self.now_ms),
        )
        self.log_writer.hook(self.context.log_filters.hook)
        self.handlers = operations.bind(self.context)
        host = Instance("i-0123456789abcdef0", Resources(4000, 4096, 2), (0, 1))
        self.do(commands.SetHost(host, {ENGINE: Abilities()}))

    def close(self) -> None:
        self.reader.close()
        self.context.log_queries.close()
        self.context.log_reader.close()
        self.log_writer.close()
        self.metrics.close()
        self.writer.close()

    # -- calling --

    @property
    def batch(self) -> Any:
        """A boto3 client of this service."""
        return self.client("batch")

    def client(self, name: str) -> Any:
        """A boto3 client of this service, by boto3's name."""
        client = _client(name)
        event = f"before-send.{client.meta.service_model.service_id.hyphenize()}.*"
        client.meta.events.unregister(event, unique_id="service")
        client.meta.events.register(event, self._answer, unique_id="service")
        return client

    def _answer(self, request: Any, **_: object) -> AWSResponse:
        parts = urlsplit(request.url)
        headers = {
            name.lower(): value if isinstance(value, str) else value.decode() for name, value in request.headers.items()
        }
        body = request.body if isinstance(request.body, bytes) else (request.body or "").encode()
        body = inflated(body, headers, MAX_BODY_BYTES)
        wired = Request(request.method, parts.path.encode(), parts.query.encode(), headers, body)
        operation = ROUTER.match(wired.method, wired.raw_path, headers, body)
        call = Call(
            operation.name,
            self.principal,
            headers.get("amz-sdk-invocation-id", ""),
            len(body),
            trace_parent=self.trace_parent,
        )
        try:
            document = operation.parse(wired)
            result = asyncio.run(self.handlers[operation.service, operation.name](call, document))
            response = operation.respond(result, "request-1")
        except Refused as refusal:
            status = operation.status_of(refusal.code) or STATUS_OF_CODE.get(refusal.code, 400)
            response = operation.refuse(
                WireError(refusal.code, refusal.message, status, members=dict(refusal.members)), "request-1"
            )
        except WireError as error:
            response = operation.refuse(error, "request-1")
        return AWSResponse(request.url, response.status, dict(response.headers), _Body(response.body))

    def call(
        self,
        name: str,
        request: dict[str, Any],
        size_bytes: int = 0,
        invocation_id: str = "",
        caller: str = "",
        service: str = "",
    ) -> dict[str, Any]:
        """An operation called with a document as the wire gives it: beyond what boto3 would let through. `service`:
        where several have one of this name."""
        service = service or next(service for service in SERVICES if (service, name) in operations.OPERATIONS)
        digest = hashlib.blake2b(repr(request).encode(), digest_size=16).hexdigest()
        call = Call(name, "tester", invocation_id, size_bytes, caller, digest)
        result = asyncio.run(self.handlers[service, name](call, request))
        ROUTER.operations[service, name].check(result)
        return result

    async def _ask(self, command: commands.Command[commands.Answer]) -> commands.Answer:
        self.asked.append(command)
        return self.do(command)

    # -- the machine --

    @property
    def machines(self) -> tuple[Any, ...]:
        """Those that are there now: tests replace some, as a restart does."""
        of_events = (self.timers, self.events, self.schedules, self.topics, self.api_destinations, self.deliveries)
        return (self.machine, *of_events, self.iam, self.alarms, self.workflows)

    def do(self, command: commands.Command[commands.Answer]) -> commands.Answer:
        """One batch of one command, committed before its answer is given."""
        try:
            machine: Any = next(machine for machine in self.machines if type(command) in machine.command_types)
            answer: commands.Answer = machine.handle(command, self.now_ms)
            return answer
        finally:
            self._finish_batch()

    def report(self, fact: reports.Report) -> None:
        self.machine.report(ENGINE, fact, self.now_ms)
        self._finish_batch()

    def _finish_batch(self) -> None:
        self.machine.schedule(self.now_ms)
        self.timers.schedule(self.now_ms)
        self.workflows.schedule(self.now_ms)
        while reports_made := [report for machine in self.machines for report in machine.outgoing()]:
            for report in reports_made:
                receiver: Any = next(one for one in self.machines if type(report) in one.report_types)
                receiver.report("", report, self.now_ms)
            self.machine.schedule(self.now_ms)
            self.timers.schedule(self.now_ms)
            self.workflows.schedule(self.now_ms)
        changes, effects = self.machine.take()
        for machine in self.machines[1:]:
            more, further = machine.take()
            changes.absorb(more)
            effects += further
        self.messages += changes.messages.values()
        self.writer.commit(changes, self.now_ms).result()
        due = [name for effect in effects if isinstance(effect, EvaluateAlarms) for name in effect.names]
        if due:
            self.evaluate_alarms(*due)
        self.context.waiters.carry_out(effects)
        self.launched |= {effect.job_id: effect for effect in effects if isinstance(effect, LaunchTask)}

    def tick(self, milliseconds: int) -> None:
        self.now_ms += milliseconds
        self._finish_batch()

    def evaluate_alarms(self, *names: str) -> None:
        """Evaluates all alarms, or these, as the service does each minute."""
        found = [
            evaluation
            for alarm in self.do(alarm_commands.AskAlarms())
            if alarm.kind == METRIC
            and (not names or alarm.name in names)
            and (evaluation := evaluate(self.metrics, alarm, self.now_ms // 1000)) is not None
        ]
        if found:
            self.do(alarm_commands.TakeEvaluations(tuple(found)))

    # -- the engine's part --

    def start(self, job_id: str) -> None:
        at = self.launched[job_id].attempt_node
        self.report(reports.Started(at.attempt_id, self.now_ms, node=at.node))

    def end(self, job_id: str, exit_code: int = 0, reason: str = "", ran_ms: int = 1000, **used: int) -> None:
        """The job's task ran and ended. `used`: what it used, as members of ContainerExit."""
        self.tick(ran_ms)
        exit_of = reports.ContainerExit(exit_code=exit_code, reason=reason, **used)
        at = self.launched[job_id].attempt_node
        self.report(reports.Exited(at.attempt_id, self.now_ms - ran_ms, self.now_ms, (exit_of,), node=at.node))

    def fail_to_start(self, job_id: str, reason: str) -> None:
        at = self.launched[job_id].attempt_node
        self.report(reports.NotStarted(at.attempt_id, self.now_ms, reason, 127, node=at.node))

    # -- what most tests need --

    def make_queue(self, name: str = "default", environment: str = "local") -> None:
        self.call(
            "CreateComputeEnvironment",
            {"computeEnvironmentName": environment, "type": "UNMANAGED", "serviceRole": ROLE},
        )
        order = [{"order": 1, "computeEnvironment": environment}]
        self.call("CreateJobQueue", {"jobQueueName": name, "priority": 1, "computeEnvironmentOrder": order})

    def register(self, name: str = "sleeper", **members: Any) -> str:
        """Returns name:revision."""
        request = {"jobDefinitionName": name, "type": "container", "containerProperties": container()} | members
        answer = self.call("RegisterJobDefinition", request)
        return f"{answer['jobDefinitionName']}:{answer['revision']}"

    def submit(self, definition: str = "sleeper", name: str = "nap", **members: Any) -> str:
        request = {"jobName": name, "jobQueue": "default", "jobDefinition": definition} | members
        return str(self.call("SubmitJob", request)["jobId"])

    def detail(self, job_id: str) -> dict[str, Any]:
        """The job as boto3 gives it."""
        (found,) = self.batch.describe_jobs(jobs=[job_id])["jobs"]
        return dict(found)


def container(**members: Any) -> dict[str, Any]:
    """A containerProperties document that any check accepts."""
    resources = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "512"}]
    return {"image": "busybox", "command": ["sleep", "60"], "resourceRequirements": resources} | members


def refusal_of(action: Callable[[], object]) -> str:
    """The text `action` is refused with."""
    try:
        action()
    except Refused as refusal:
        return refusal.message
    raise AssertionError("it was not refused")
