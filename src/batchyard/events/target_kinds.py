"""Which targets a rule may have, and how a message gets to each (observability spec 5.1)."""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct, to_builtins

from batchyard.core.model.deliveries import DeliveryPolicy, Message, Undeliverable
from batchyard.core.model.refusal import Refused
from batchyard.evaluators.events.target_input import NoInput, RuleContext, TargetInput, compile_input
from batchyard.events.records import Rule, Target

LOGS, BATCH, HTTP, BUS, TOPIC, STATES = "logs", "batch", "http", "event-bus", "sns", "states"  # channels
STATE_MACHINE = "stateMachine:"  # begins the resource of a state machine, a version or an alias
VALIDATION = "ValidationException"
LOG_GROUP = re.compile(r"[\.\-_/#A-Za-z0-9]{1,512}")  # API: LogGroupName
# What people name, and is run nowhere here; each with the remedy.
NOT_HERE = {
    "lambda": "Lambda functions are not run here: use an API destination (`batchyard events webhook URL`).",
    "sqs": "There are no SQS queues here: use a log group, an SNS topic or an API destination.",
    "kinesis": "There are no Kinesis streams here: use a log group or an API destination.",
    "firehose": "There are no Firehose streams here: use a log group or an API destination.",
    "ecs": "ECS tasks are not targets here: use a Batch job queue.",
}
OTHERS_HERE = "use a log group, an SNS topic, a Batch job queue, a state machine, a bus or an API destination."


class LogTarget(Struct, frozen=True):
    group: str


class BatchTarget(Struct, frozen=True):
    """`array_size` and `attempts`: 0 where they are not given."""

    queue: str
    definition: str
    name: str
    array_size: int = 0
    attempts: int = 0


class HttpTarget(Struct, frozen=True):
    """An API destination by its name, and what HttpParameters adds."""

    destination: str
    path_values: tuple[str, ...] = ()
    headers: dict[str, str] = {}
    query: dict[str, str] = {}


class BusTarget(Struct, frozen=True):
    bus: str


class TopicTarget(Struct, frozen=True):
    arn: str


class StateMachineTarget(Struct, frozen=True):
    """A state machine, a version or an alias: each message starts an execution, with its body as the input."""

    arn: str


Destination = LogTarget | BatchTarget | HttpTarget | BusTarget | TopicTarget | StateMachineTarget
CHANNELS: dict[type[Destination], str] = {
    LogTarget: LOGS,
    BatchTarget: BATCH,
    HttpTarget: HTTP,
    BusTarget: BUS,
    TopicTarget: TOPIC,
    StateMachineTarget: STATES,
}


class CompiledTarget(Struct, frozen=True):
    """A target ready for events. `document`: the destination as JSON values."""

    target: Target
    destination: Destination
    document: dict[str, Any]
    input: TargetInput
    policy: DeliveryPolicy
    dead_letter_group: str


def compile_target(target: Target) -> CompiledTarget:
    """Compiles a target. Raises Refused: what of it cannot be, and what can be instead."""
    document = target.document
    compiled = compile_input_of(target)
    retry = document.get("RetryPolicy") or {}
    default = DeliveryPolicy()
    policy = DeliveryPolicy(
        retry.get("MaximumRetryAttempts", default.max_retries),
        retry.get("MaximumEventAgeInSeconds", default.max_age_seconds),
    )
    destination = _destination(target)
    return CompiledTarget(target, destination, to_builtins(destination), compiled, policy, _dead_letter_group(document))


def compile_input_of(target: Target) -> TargetInput:
    """Compiles the input of a target. Raises Refused."""
    document = target.document
    transformer = document.get("InputTransformer") or {}
    return compile_input(
        target.id,
        constant=document.get("Input"),
        path=document.get("InputPath"),
        paths_map=transformer.get("InputPathsMap"),
        template=transformer.get("InputTemplate"),
    )


def _destination(target: Target) -> Destination:
    service, resource = _service_and_resource(target.arn)
    document = target.document
    if service == "logs" and resource.startswith("log-group:"):
        return LogTarget(_log_group(target.arn, resource))
    if service == "batch" and resource.startswith("job-queue/"):
        return _batch_target(target, resource.removeprefix("job-queue/"))
    if service == "events" and resource.startswith("event-bus/"):
        return BusTarget(resource.removeprefix("event-bus/"))
    if service == "events" and resource.startswith("api-destination/"):
        parameters = document.get("HttpParameters") or {}
        return HttpTarget(
            resource.removeprefix("api-destination/").partition("/")[0],
            tuple(parameters.get("PathParameterValues", ())),
            dict(parameters.get("HeaderParameters", {})),
            dict(parameters.get("QueryStringParameters", {})),
        )
    if service == "sns" and resource:
        return TopicTarget(target.arn)
    if service == "states" and resource.startswith(STATE_MACHINE):
        return StateMachineTarget(target.arn)
    remedy = NOT_HERE.get(service, OTHERS_HERE)
    raise Refused(f"Parameter {target.arn} is not valid. Reason: no such target is served here; {remedy}", VALIDATION)


def _batch_target(target: Target, queue: str) -> BatchTarget:
    parameters: dict[str, Any] | None = target.document.get("BatchParameters")
    if not parameters:
        raise Refused(
            f"Parameter {target.arn} is not valid. Reason: BatchParameters must be provided for a Batch job queue.",
            VALIDATION,
        )
    return BatchTarget(
        queue,
        parameters["JobDefinition"],
        parameters["JobName"],
        (parameters.get("ArrayProperties") or {}).get("Size", 0),
        (parameters.get("RetryStrategy") or {}).get("Attempts", 0),
    )


def _dead_letter_group(document: dict[str, Any]) -> str:
    arn = (document.get("DeadLetterConfig") or {}).get("Arn", "")
    if not arn:
        return ""
    service, resource = _service_and_resource(arn)
    if service != "logs" or not resource.startswith("log-group:"):
        raise Refused(
            f"Parameter DeadLetterConfig.Arn is not valid. Reason: there are no SQS queues here; name a log group "
            f"(arn:aws:logs:REGION:ACCOUNT:log-group:NAME), not {arn}.",
            VALIDATION,
        )
    return _log_group(arn, resource)


def _log_group(arn: str, resource: str) -> str:
    """Returns the name of a log group in an ARN, which may end with `:*`."""
    name = resource.removeprefix("log-group:").removesuffix(":*")
    if not LOG_GROUP.fullmatch(name):
        raise Refused(f"Parameter {arn} is not valid. Reason: {name} is no name of a log group.", VALIDATION)
    return name


def _service_and_resource(arn: str) -> tuple[str, str]:
    parts = arn.split(":", 5)
    if len(parts) < 6 or parts[0] != "arn":
        raise Refused(f"Parameter {arn} is not valid. Reason: Provided Arn is not in correct format.", VALIDATION)
    return parts[2], parts[5]


def message_for(
    compiled: CompiledTarget, rule: Rule, arn: str, event: dict[str, Any], original: str, order_key: str, now_ms: int
) -> Message | Undeliverable:
    """Returns what one target gets of an event. `arn`: the rule's; `original`: the event as text."""
    lane, token = lane_of(arn, compiled.target.id), f"{event['id']}/{rule.name}/{compiled.target.id}"
    try:
        is_whole = compiled.input.is_whole
        body = original if is_whole else compiled.input.render(event, RuleContext(arn, rule.name, now_ms))
    except NoInput as error:
        return Undeliverable(lane, token, "INVALID_INPUT", str(error))
    dead_letter = {"RULE_ARN": arn, "TARGET_ARN": compiled.target.arn} if compiled.dead_letter_group else {}
    return Message(
        lane=lane,
        channel=CHANNELS[type(compiled.destination)],
        target=compiled.document,
        body=body,
        token=token,
        order_key=order_key,
        dead_letter_group=compiled.dead_letter_group,
        original=original if compiled.dead_letter_group and body != original else "",
        policy=compiled.policy,
        dead_letter_attributes=dead_letter,
    )


def lane_of(rule: str, target_id: str) -> str:
    """Returns the lane of a rule's target; `rule`: its ARN."""
    return f"{rule}#{target_id}"
