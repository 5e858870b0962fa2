"""Checks of policy documents: the grammar, not what they allow (IAM user guide: reference_policies_grammar)."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from batchyard.api.iam.requests import PRINTABLE
from batchyard.core.model.refusal import Refused
from batchyard.evaluators.json_text import InvalidJson, parse_json
from batchyard.wire.messages import Document

NEWEST = "2012-10-17"
VERSIONS = (NEWEST, "2008-10-17")
POLICY_MEMBERS = {"Version", "Id", "Statement"}
STATEMENT_MEMBERS = {
    "Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition",
}  # fmt: skip
SID = re.compile(r"[0-9A-Za-z]*")
ACTION = re.compile(r"\*|[A-Za-z0-9-]+:[A-Za-z0-9*?]+")
SYNTAX = "Syntax errors in policy."


class _Kind(NamedTuple):
    """What sets trust policies and permissions policies apart. `most`: characters, white space not counted (IAM quotas;
    what AWS grants on request)."""

    quota: str
    most: int


_TRUST = _Kind("ACLSizePerRole", 8192)
_MANAGED = _Kind("PolicySize", 6144)
_INLINE = _Kind("PolicySize", 10_240)


def trust_policy_in(request: Document, member: str) -> str:
    """Returns the document of who may assume a role."""
    text = _text(request, member, _TRUST)
    for statement in _statements(text, needs_newest=False):
        if "Resource" in statement or "NotResource" in statement:
            raise _malformed("Has prohibited field Resource")
        if not statement.get("Principal") and not statement.get("NotPrincipal"):
            raise _malformed("Missing required field Principal cannot be empty!")
        for action in _texts(statement.get("Action", [])):
            if action != "*" and not action.lower().startswith("sts:"):
                raise _malformed("AssumeRole policy may only specify STS AssumeRole actions.")
    return text


def managed_policy_in(request: Document) -> str:
    """Returns the document of a managed policy."""
    return _permissions(request, _MANAGED)


def inline_policy_in(request: Document) -> str:
    return _permissions(request, _INLINE)


def _permissions(request: Document, kind: _Kind) -> str:
    text = _text(request, "PolicyDocument", kind)
    for statement in _statements(text, needs_newest=True):
        if "Principal" in statement or "NotPrincipal" in statement:
            raise _malformed("Policy document should not specify a principal.")
        resources = [statement[name] for name in ("Resource", "NotResource") if name in statement]
        if len(resources) != 1 or not _texts(resources[0]):
            raise _malformed("Policy statement must contain resources.")
        for resource in _texts(resources[0]):
            if not resource.startswith(("arn:", "*")):
                raise _malformed(f'Resource {resource} must be in ARN format or "*".')
    return text


def _text(request: Document, member: str, kind: _Kind) -> str:
    text: str = request[member]
    if not PRINTABLE.fullmatch(text):
        raise _malformed("The policy contains characters that are not printable.")
    if len("".join(text.split())) > kind.most:
        raise Refused(f"Cannot exceed quota for {kind.quota}: {kind.most}", "LimitExceeded")
    return text


def _statements(text: str, *, needs_newest: bool) -> list[dict[str, Any]]:
    """Returns the statements of a policy, each with what every statement has."""
    try:
        policy = parse_json(text)
    except InvalidJson:
        raise _malformed("This policy contains invalid Json") from None
    if not isinstance(policy, dict) or not policy.keys() <= POLICY_MEMBERS or "Statement" not in policy:
        raise _malformed(SYNTAX)
    version = policy.get("Version", VERSIONS[1])
    if version not in VERSIONS:
        raise _malformed("The policy must contain a valid version string")
    if needs_newest and version != NEWEST:
        raise _malformed(f"Policy document must be version {NEWEST} or greater.")
    found = policy["Statement"]
    statements = found if isinstance(found, list) else [found]
    if not statements:
        raise _malformed(SYNTAX)
    for statement in statements:
        _check_statement(statement)
    sids = [statement["Sid"] for statement in statements if statement.get("Sid")]
    if len(set(sids)) < len(sids):
        raise _malformed("Statement IDs (SID) in a single policy must be unique.")
    return statements


def _check_statement(statement: Any) -> None:
    if not isinstance(statement, dict) or not statement.keys() <= STATEMENT_MEMBERS:
        raise _malformed(SYNTAX)
    sid = statement.get("Sid", "")
    if statement.get("Effect") not in ("Allow", "Deny") or not isinstance(sid, str):
        raise _malformed(SYNTAX)
    if not SID.fullmatch(sid):
        raise _malformed(f"Statement IDs (SID) must be alpha-numeric. Check that your input satisfies {SID.pattern}.")
    actions = [statement[name] for name in ("Action", "NotAction") if name in statement]
    if len(actions) != 1 or not _texts(actions[0]):
        raise _malformed("Policy statement must contain actions.")
    for action in _texts(actions[0]):
        if not ACTION.fullmatch(action):
            raise _malformed("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.")
    if not isinstance(statement.get("Condition", {}), dict):
        raise _malformed(SYNTAX)


def _texts(value: Any) -> list[str]:
    """Returns the texts of a member that takes one of them or a list."""
    texts = value if isinstance(value, list) else [value]
    if not all(isinstance(text, str) for text in texts):
        raise _malformed(SYNTAX)
    return texts


def _malformed(message: str) -> Refused:
    return Refused(message, "MalformedPolicyDocument")
