"""The loggingConfiguration of state machines, and other settings of theirs (step functions spec 3, 16)."""

from __future__ import annotations

from batchyard.api.context import Context
from batchyard.core.model.executions import Logging
from batchyard.core.model.refusal import Refused
from batchyard.wire.messages import Document

OFF = "OFF"
OWNED_KEY = "AWS_OWNED_KEY"
LOG_GROUP = ":log-group:"
ALL_STREAMS = ":*"  # how the ARN of a log group ends in places that name its streams


def _refused(text: str) -> Refused:
    return Refused(f"Invalid Logging Configuration: {text}", "InvalidLoggingConfiguration")


async def logging_of(context: Context, request: Document) -> Logging | None:
    """Returns the loggingConfiguration of a request; None: it has none. Raises Refused."""
    given = request.get("loggingConfiguration")
    if given is None:
        return None
    level, destinations = given.get("level", OFF), given.get("destinations", [])
    if level == OFF and not destinations:
        return Logging(OFF, given.get("includeExecutionData", False))
    if len(destinations) != 1 or "logGroupArn" not in destinations[0].get("cloudWatchLogsLogGroup", {}):
        raise _refused("Must specify exactly one Log Destination.")
    arn = destinations[0]["cloudWatchLogsLogGroup"]["logGroupArn"]
    head, found, _ = arn.partition(LOG_GROUP)
    is_mine = f"{head}{LOG_GROUP}" == context.account.arn("logs", "log-group:")
    if not found or not is_mine or await context.read(context.log_catalogue.group, log_group_name(arn)) is None:
        raise _refused("Log Destination not found.")
    return Logging(level, given.get("includeExecutionData", False), arn)


def log_group_name(arn: str) -> str:
    return arn.partition(LOG_GROUP)[2].removesuffix(ALL_STREAMS)


def logging_document(logging: Logging) -> Document:
    document: Document = {"level": logging.level, "includeExecutionData": logging.includes_data}
    if logging.log_group_arn:
        document["destinations"] = [{"cloudWatchLogsLogGroup": {"logGroupArn": logging.log_group_arn}}]
    return document


def tracing_of(request: Document) -> bool | None:
    """Returns whether a request asks for traces by X-Ray, which is kept and has no effect; None: it does not say."""
    given = request.get("tracingConfiguration")
    return None if given is None else given.get("enabled", False)


def check_encryption(request: Document) -> None:
    """Refuses keys of KMS, which is not here."""
    given = request.get("encryptionConfiguration")
    if given is not None and given.get("type", OWNED_KEY) != OWNED_KEY:
        raise Refused(
            "Invalid Encryption Configuration: keys of KMS are not built here: leave out encryptionConfiguration, or "
            "use the type AWS_OWNED_KEY.",
            "InvalidEncryptionConfiguration",
        )


ENCRYPTION = {"type": OWNED_KEY}
