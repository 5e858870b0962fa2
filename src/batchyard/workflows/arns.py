"""ARNs of Step Functions: made, and taken apart (step functions spec 2)."""

from __future__ import annotations

from msgspec import Struct

from batchyard.core.model.names import Account
from batchyard.core.model.refusal import Refused

SERVICE = "states"
STATE_MACHINE, EXECUTION, EXPRESS, MAP_RUN, ACTIVITY = "stateMachine", "execution", "express", "mapRun", "activity"
INVALID_ARN = "InvalidArn"
_PARTS = 7  # arn, partition, service, region, account, resource type, the rest


class ParsedArn(Struct, frozen=True):
    """An ARN of Step Functions. `name`: of the state machine (with `/<label>` where it is that of a distributed Map's
    children) or the activity; `qualifier`: a version, an alias, or the name of an execution; empty: none."""

    text: str
    kind: str
    account: str
    region: str
    name: str
    qualifier: str = ""


def state_machine_arn(account: Account, name: str, qualifier: str | int = "") -> str:
    """Returns the ARN of a state machine, or with a `qualifier` that of its version or alias."""
    return account.arn(SERVICE, f"{STATE_MACHINE}:{name}" + (f":{qualifier}" if qualifier else ""))


def activity_arn(account: Account, name: str) -> str:
    return account.arn(SERVICE, f"{ACTIVITY}:{name}")


def parse_arn(text: str, *kinds: str) -> ParsedArn:
    """Takes an ARN of one of these `kinds` apart. Refuses any other text, as AWS does."""
    parts = text.split(":", _PARTS - 1)
    if len(parts) < _PARTS or parts[0] != "arn" or parts[2] != SERVICE:
        raise Refused(f"Invalid Arn: 'Invalid ARN prefix: {text}'", INVALID_ARN)
    kind, rest = parts[5], parts[6]
    if kind not in kinds:
        raise Refused(f"Invalid Arn: 'Resource type not valid in this context: {kind}'", INVALID_ARN)
    name, _, qualifier = (rest, "", "") if kind == ACTIVITY else rest.partition(":")
    return ParsedArn(text, kind, parts[4], parts[3], name, qualifier)
