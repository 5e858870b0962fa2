"""The integrations of Step Functions: which operations a Task can call, what of their arguments is wrong, and what
their answers and errors look like to an execution (step functions spec 13, 14).

Functions of values; `batchyard.server.workflows` carries the calls out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from batchyard.api import services  # its table is read in calls alone: modules of services import this one
from batchyard.api.http_tasks import http_faults, static_http_faults
from batchyard.wire.model import OperationModel, ServiceModel, Shape
from batchyard.wire.pascal_case import missing, pascal, read_pascal, unsupported, write_pascal
from batchyard.workflows.resources import ACTIVITY, SYNC, SYNC_2, TOKEN, Resource, parse_resource

STATUSES = {"TooManyRequestsException": 429, "ServerException": 500}  # of codes that have none in their model
FAILED_ENTRY = "EventBridge.FailedEntry"
RUNTIME = "States.Runtime"
SDK = "aws-sdk:"
HTTP = ("http", "invoke")


class Optimised(Struct, frozen=True):
    """An integration that Step Functions has for an operation: with patterns, and names of errors as version 1 of the
    SDK has them. `json_members`: where any JSON value may stand for a text. `content_type`: of its answers."""

    service: str
    operation: str
    error_prefix: str
    aws_name: str
    patterns: tuple[str, ...]
    json_members: tuple[str, ...] = ()
    content_type: str = ""  # empty: its results do not have SdkHttpMetadata


OPTIMISED = {
    ("batch", "submitJob"): Optimised(
        "batch", "SubmitJob", "Batch", "AWSBatch", (SYNC, SYNC_2, TOKEN), content_type="application/json"
    ),
    ("sns", "publish"): Optimised(
        "sns", "Publish", "SNS", "AmazonSNS", (TOKEN,), ("Message",), content_type="text/xml"
    ),
    ("events", "putEvents"): Optimised(
        "events", "PutEvents", "EventBridge", "AmazonEventBridge", (TOKEN,), ("Detail",)
    ),
    ("states", "startExecution"): Optimised(
        "states",
        "StartExecution",
        "StepFunctions",
        "AWSStepFunctions",
        (SYNC, SYNC_2, TOKEN),
        ("Input",),
        content_type="application/x-amz-json-1.0",
    ),
}
# The services of the resources `aws-sdk:...`: ours, and the name that version 2 of the SDK for Java has for each.
SDK_SERVICES = {
    "batch": ("batch", "Batch"),
    "cloudwatch": ("monitoring", "CloudWatch"),
    "cloudwatchlogs": ("logs", "CloudWatchLogs"),
    "ec2": ("ec2", "Ec2"),
    "ecs": ("ecs", "Ecs"),
    "eventbridge": ("events", "EventBridge"),
    "iam": ("iam", "Iam"),
    "scheduler": ("scheduler", "Scheduler"),
    "secretsmanager": ("secretsmanager", "SecretsManager"),
    "sfn": ("states", "Sfn"),
    "sns": ("sns", "Sns"),
    "ssm": ("ssm", "Ssm"),
    "sts": ("sts", "Sts"),
}
# Optimised integrations that AWS has and this service has not; where actions are listed, AWS knows no others.
NOT_HERE: dict[str, tuple[str, ...]] = {
    "apigateway": (),
    "athena": (),
    "bedrock": (),
    "codebuild": (),
    "databrew": (),
    "dynamodb": ("getItem", "putItem", "deleteItem", "updateItem"),
    "ecs": (),
    "eks": (),
    "elasticmapreduce": (),
    "emr-containers": (),
    "emr-serverless": (),
    "glue": (),
    "lambda": (),
    "mediaconvert": (),
    "sagemaker": (),
    "sqs": (),
}


class Integration(Struct, frozen=True):
    """An operation of this service that a Task calls. `service`, `operation`: ours. `optimised`: None for `aws-sdk`."""

    resource: Resource
    service: str
    operation: str
    sdk_name: str
    optimised: Optimised | None

    @property
    def service_model(self) -> ServiceModel:
        return services.SERVICES[self.service].model

    @property
    def model(self) -> OperationModel:
        return self.service_model.operations[self.operation]


def find_integration(resource: Resource) -> Integration | None:
    """Returns the operation that a resource stands for; None: none of this service (an activity and http:invoke are
    other things)."""
    optimised = OPTIMISED.get((resource.service, resource.action))
    if optimised is not None:
        if resource.pattern and resource.pattern not in optimised.patterns:
            return None
        return _built(Integration(resource, optimised.service, optimised.operation, "", optimised))
    if resource.service.startswith(SDK) and resource.pattern in ("", TOKEN):
        service, sdk_name = SDK_SERVICES.get(resource.service.removeprefix(SDK), ("", ""))
        return _built(Integration(resource, service, pascal(resource.action), sdk_name, None))
    return None


def _built(found: Integration) -> Integration | None:
    service = services.SERVICES.get(found.service)
    return found if service is not None and found.operation in service.operations else None


def is_http(resource: Resource) -> bool:
    return (resource.service, resource.action) == HTTP and resource.pattern in ("", TOKEN)


# -- definitions --


def check_known_task(resource_arn: str, arguments: Any | None) -> list[tuple[str, str]]:
    """Returns what `check_task` does, but for a resource that AWS has and this service has not: its Task is accepted,
    and fails when it is reached."""
    resource = parse_resource(resource_arn)
    is_known = resource.service == ACTIVITY or is_http(resource) or find_integration(resource) is not None
    return [] if not is_known and _remedy(resource) else check_task(resource_arn, arguments)


def check_task(resource_arn: str, arguments: Any | None) -> list[tuple[str, str]]:
    """Returns what is wrong with a Task: where in the state (`Resource`; empty: in its arguments), and AWS's text.
    `arguments`: its Parameters or Arguments; None: it has none; a text: an expression that makes them."""
    resource = parse_resource(resource_arn)
    if resource.service == ACTIVITY:
        return []
    if is_http(resource):
        return [("", fault) for fault in static_http_faults(arguments)]
    integration = find_integration(resource)
    if integration is None:
        return [("Resource", not_recognized(resource))]
    shape = integration.model.input
    if isinstance(arguments, str) or shape is None:
        return []
    return [("", fault) for fault in _static_faults(shape, {} if arguments is None else arguments)]


def not_recognized(resource: Resource) -> str:
    """Returns AWS's text; for what AWS has, with the remedy."""
    text = (
        f"The resource provided {resource.arn} is not recognized. The value is not a valid resource ARN, or the "
        f"resource is not available in this region."
    )
    return f"{text} {_remedy(resource)}".rstrip()


def _remedy(resource: Resource) -> str:
    """Returns what to do about a resource that AWS has and this service has not; empty: AWS has none such."""
    name = resource.service.removeprefix(SDK)
    if resource.arn.startswith("arn:aws:lambda:"):
        name = "lambda"
    elif not resource.service.startswith(SDK):
        actions = NOT_HERE.get(name)
        if actions is None or (actions and resource.action not in actions):
            return ""
    elif name in SDK_SERVICES:
        return f"Batchyard does not have the operation {pascal(resource.action)} of {SDK_SERVICES[name][1]}."
    return f"Batchyard runs no {name}; use arn:aws:states:::batch:submitJob.sync or an activity."


def _static_faults(shape: Shape, arguments: Any) -> Iterator[str]:
    """Yields the members that a structure does not have or lacks, in a template whose values are not known yet."""
    if shape.type == "list" and isinstance(arguments, list) and shape.element is not None:
        for inner in arguments:
            yield from _static_faults(shape.element, inner)
    elif shape.type == "map" and isinstance(arguments, dict) and shape.element is not None:
        for key, inner in arguments.items():
            if not key.endswith(".$"):
                yield from _static_faults(shape.element, inner)
    elif shape.type == "structure" and isinstance(arguments, dict):
        members = {pascal(name): member for name, member in shape.members.items()}
        for key, inner in arguments.items():
            name = key.removesuffix(".$")
            if name not in members:
                yield unsupported(name, shape)
            elif name == key:
                yield from _static_faults(members[name].shape, inner)
        for name, member in members.items():
            if member.required and name not in arguments and f"{name}.$" not in arguments:
                yield missing(name)


# -- calls --


def argument_faults(resource: Resource, arguments: Any) -> str:
    """Returns what is wrong with the arguments of a call, joined as AWS joins it; empty: nothing. To be asked before
    the task is scheduled: on AWS it never is then."""
    if is_http(resource):
        return ", ".join(http_faults(arguments))
    integration = find_integration(resource)
    if integration is None:
        return ""
    return ", ".join(read_arguments(integration, arguments)[1])


def read_arguments(integration: Integration, arguments: Any) -> tuple[dict[str, Any], list[str]]:
    """Returns the request of a call, and what is wrong with its arguments."""
    shape, optimised = integration.model.input, integration.optimised
    if shape is None:
        return {}, []
    if optimised is None:
        return read_pascal(shape, arguments)
    return read_pascal(shape, arguments, optimised.json_members)


class CallError(Struct, frozen=True):
    """How a call failed, as an execution sees it."""

    error: str
    cause: str


def output_of(integration: Integration, result: dict[str, Any], request_id: str) -> Any | CallError:
    """Returns what a call's result is to an execution, a JSON value."""
    shape, optimised = integration.model.output, integration.optimised
    output: dict[str, Any] = {}
    if shape is not None:
        output = write_pascal(shape, result, has_iso_times=optimised is None)
    if integration.operation == "PutEvents" and optimised is not None and output.get("FailedEntryCount"):
        return CallError(FAILED_ENTRY, json.dumps(output, ensure_ascii=False, separators=(",", ":")))
    if optimised is not None and optimised.content_type:
        output |= _metadata(optimised.content_type, request_id)
    return output


def _metadata(content_type: str, request_id: str) -> dict[str, Any]:
    headers = {"Content-Type": content_type, "x-amzn-RequestId": request_id}
    return {
        "SdkHttpMetadata": {
            "AllHttpHeaders": {name: [value] for name, value in headers.items()},
            "HttpHeaders": headers,
            "HttpStatusCode": 200,
        },
        "SdkResponseMetadata": {"RequestId": request_id},
    }


def error_of(integration: Integration, code: str, message: str, request_id: str) -> CallError:
    """Returns how a refusal of the operation is shown: the names of its errors are those of the SDKs."""
    status = integration.service_model.error_statuses.get(code) or STATUSES.get(code, 400)
    optimised, exception = integration.optimised, _exception(integration, code)
    if optimised is None:
        cause = f"{message} (Service: {integration.sdk_name}, Status Code: {status}, Request ID: {request_id})"
        exception = exception or f"{integration.sdk_name}Exception"
        return CallError(f"{integration.sdk_name}.{exception}", f"{cause} (SDK Attempt Count: 1)")
    cause = (
        f"{message} (Service: {optimised.aws_name}; Status Code: {status}; Error Code: {code}; "
        f"Request ID: {request_id}; Proxy: null)"
    )
    return CallError(f"{optimised.error_prefix}.{exception or optimised.aws_name + 'Exception'}", cause)


def _exception(integration: Integration, code: str) -> str:
    """Returns the SDKs' name for an error that the operation's model has; empty: it has none."""
    model = integration.service_model
    for name in integration.model.errors:
        shape = model.shapes.get(name)
        if code in (name, shape.error_code if shape is not None else name):
            return name if name.endswith("Exception") else f"{name.removesuffix('Fault')}Exception"
    return ""
