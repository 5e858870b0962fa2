"""What a schedule may do (observability spec 7.3): publish to a topic, put an event, or call an operation."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, json

from batchyard.core.model.deliveries import DeliveryPolicy
from batchyard.core.model.refusal import Refused
from batchyard.events.target_kinds import STATE_MACHINE, StateMachineTarget

VALIDATION = "ValidationException"
API_CHANNEL = "api"  # the sender that calls an operation of this service
# Operations that a universal target may call: AWS's service and action, our service and operation.
OPERATIONS = {
    ("batch", "submitjob"): ("batch", "SubmitJob"),
    ("batch", "terminatejob"): ("batch", "TerminateJob"),
    ("batch", "canceljob"): ("batch", "CancelJob"),
    ("sfn", "startexecution"): ("states", "StartExecution"),
    ("sns", "publish"): ("sns", "Publish"),
    ("eventbridge", "putevents"): ("events", "PutEvents"),
    ("events", "putevents"): ("events", "PutEvents"),
}
REMEDY = (
    "use an SNS topic, an event bus, a state machine, or arn:aws:scheduler:::aws-sdk:SERVICE:ACTION with "
    "batch:submitJob, batch:terminateJob, batch:cancelJob, sfn:startExecution, sns:publish or eventbridge:putEvents."
)


class TopicTarget(Struct, frozen=True):
    arn: str


class BusTarget(Struct, frozen=True):
    bus: str
    source: str
    detail_type: str


class OperationTarget(Struct, frozen=True):
    service: str
    operation: str


class CompiledTarget(Struct, frozen=True):
    """A target ready to be fired. `input`: its text before context attributes are replaced."""

    destination: TopicTarget | BusTarget | OperationTarget | StateMachineTarget
    input: str
    policy: DeliveryPolicy
    dead_letter_group: str


def compile_target(target: dict[str, Any]) -> CompiledTarget:
    """Compiles a target. Raises Refused: what of it cannot be, and what can be instead."""
    arn = target["Arn"]
    parts = arn.split(":", 5)
    if len(parts) < 6 or parts[0] != "arn":
        raise Refused(f"Provided Arn is not in correct format: {arn}.", VALIDATION)
    service, resource = parts[2], parts[5]
    destination: TopicTarget | BusTarget | OperationTarget | StateMachineTarget
    if service == "sns":
        destination = TopicTarget(arn)
    elif service == "states" and resource.startswith(STATE_MACHINE):
        destination = StateMachineTarget(arn)
    elif service == "events" and resource.startswith("event-bus/"):
        parameters = target.get("EventBridgeParameters")
        if not parameters:
            raise Refused("EventBridgeParameters must be provided for an event bus.", VALIDATION)
        bus = resource.removeprefix("event-bus/")
        destination = BusTarget(bus, parameters["Source"], parameters["DetailType"])
    elif service == "scheduler" and resource.startswith("aws-sdk:"):
        destination = _operation(arn, resource)
        _check_object(target.get("Input"), arn)
    else:
        raise Refused(f"{arn} is no target that is served here: {REMEDY}", VALIDATION)
    retry, default = target.get("RetryPolicy") or {}, DeliveryPolicy()
    policy = DeliveryPolicy(
        retry.get("MaximumRetryAttempts", default.max_retries),
        retry.get("MaximumEventAgeInSeconds", default.max_age_seconds),
    )
    return CompiledTarget(destination, target.get("Input") or "{}", policy, _dead_letter_group(target))


def _operation(arn: str, resource: str) -> OperationTarget:
    _, _, named = resource.partition(":")
    service, _, action = named.partition(":")
    found = OPERATIONS.get((service.lower(), action.lower()))
    if found is None:
        raise Refused(f"{arn} is no operation that a schedule can call here: {REMEDY}", VALIDATION)
    return OperationTarget(*found)


def _check_object(text: str | None, arn: str) -> None:
    try:
        is_object = isinstance(json.decode(text or ""), dict)
    except ValueError:
        is_object = False
    if not is_object:
        raise Refused(f"Input must be the request of {arn} as a JSON object.", VALIDATION)


def _dead_letter_group(target: dict[str, Any]) -> str:
    arn = (target.get("DeadLetterConfig") or {}).get("Arn", "")
    _, found, group = arn.partition(":log-group:")
    if arn and not found:
        raise Refused(
            f"There are no SQS queues here: DeadLetterConfig.Arn must be that of a log group, not {arn}.", VALIDATION
        )
    return str(group.removesuffix(":*"))
