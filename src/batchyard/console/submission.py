"""Submissions made of jobs: the SubmitJob request that would run a job again, as a form, a command and a call."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pprint import pformat

import msgspec

from batchyard.console.rendering import last_part
from batchyard.wire.messages import Document

NAMED_RESOURCES = ("VCPU", "MEMORY", "GPU")
MANAGED_PREFIX = "AWS_BATCH"  # variables that the service sets itself; SubmitJob refuses them
WIDTH = 100


class BadForm(Exception):
    """A field of a form cannot be read. The text is a sentence."""


def submission_of(detail: Document) -> Document:
    """Returns the SubmitJob request that runs a described job again, without what it waited for."""
    request: Document = {
        "jobName": detail["jobName"],
        "jobQueue": last_part(detail["jobQueue"]),
        "jobDefinition": last_part(detail["jobDefinition"]),
    }
    if detail.get("parameters"):
        request["parameters"] = dict(detail["parameters"])
    if detail.get("shareIdentifier"):
        request["shareIdentifier"] = detail["shareIdentifier"]
        if detail.get("schedulingPriority"):
            request["schedulingPriorityOverride"] = detail["schedulingPriority"]
    size = detail.get("arrayProperties", {}).get("size")
    if size:
        request["arrayProperties"] = {"size": size}
    overrides = _overrides(detail.get("container", {}))
    if overrides:
        request["containerOverrides"] = overrides
    if detail.get("retryStrategy", {}).get("attempts", 1) > 1:
        request["retryStrategy"] = _given(detail["retryStrategy"])
    if detail.get("timeout"):
        request["timeout"] = dict(detail["timeout"])
    if detail.get("tags"):
        request["tags"] = dict(detail["tags"])
    return request


def _overrides(container: Document) -> Document:
    overrides: Document = {}
    if container.get("command"):
        overrides["command"] = list(container["command"])
    environment = [one for one in container.get("environment", []) if not one["name"].startswith(MANAGED_PREFIX)]
    if environment:
        overrides["environment"] = environment
    if container.get("resourceRequirements"):
        overrides["resourceRequirements"] = list(container["resourceRequirements"])
    return overrides


def _given(strategy: Document) -> Document:
    return {name: value for name, value in strategy.items() if value}


# -- as a form --


def fields_of(request: Document) -> dict[str, str]:
    """Returns the fields of the form: one line each for variables, parameters and tags, the command as in a shell."""
    overrides = request.get("containerOverrides", {})
    amounts = {one["type"]: one["value"] for one in overrides.get("resourceRequirements", [])}
    return {
        "name": request["jobName"],
        "queue": request["jobQueue"],
        "definition": request["jobDefinition"],
        "command": shlex.join(overrides.get("command", [])),
        "environment": "\n".join(f"{one['name']}={one['value']}" for one in overrides.get("environment", [])),
        "parameters": _lines(request.get("parameters", {})),
        "tags": _lines(request.get("tags", {})),
        "vcpus": amounts.get("VCPU", ""),
        "memory": amounts.get("MEMORY", ""),
        "gpus": amounts.get("GPU", ""),
        "size": str(request.get("arrayProperties", {}).get("size", "")),
        "share": request.get("shareIdentifier", ""),
        "attempts": str(request.get("retryStrategy", {}).get("attempts", "")),
        "timeout": str(request.get("timeout", {}).get("attemptDurationSeconds", "")),
    }


def request_of(form: Mapping[str, str], before: Document) -> Document:
    """Returns the request of a filled form. `before`: the request that the form was made of, whose other members stay.
    Raises BadForm."""
    request: Document = {
        "jobName": form.get("name", "").strip(),
        "jobQueue": form.get("queue", "").strip(),
        "jobDefinition": form.get("definition", "").strip(),
    }
    overrides: Document = {}
    try:
        command = shlex.split(form.get("command", ""))
    except ValueError as error:
        raise BadForm(f"The command is not as a shell reads it: {error}.") from error
    if command:
        overrides["command"] = command
    environment = _pairs(form.get("environment", ""), "environment")
    if environment:
        overrides["environment"] = [{"name": name, "value": value} for name, value in environment.items()]
    fields = zip(NAMED_RESOURCES, ("vcpus", "memory", "gpus"), strict=True)
    amounts = [{"type": kind, "value": form[name].strip()} for kind, name in fields if form.get(name, "").strip()]
    if amounts:
        overrides["resourceRequirements"] = amounts
    if overrides:
        request["containerOverrides"] = overrides
    for member in ("parameters", "tags"):
        pairs = _pairs(form.get(member, ""), member)
        if pairs:
            request[member] = pairs
    if form.get("share", "").strip():
        request["shareIdentifier"] = form["share"].strip()
        if "schedulingPriorityOverride" in before:
            request["schedulingPriorityOverride"] = before["schedulingPriorityOverride"]
    if size := _number(form, "size"):
        request["arrayProperties"] = {"size": size}
    if attempts := _number(form, "attempts"):
        request["retryStrategy"] = before.get("retryStrategy", {}) | {"attempts": attempts}
    if seconds := _number(form, "timeout"):
        request["timeout"] = {"attemptDurationSeconds": seconds}
    return request


def _number(form: Mapping[str, str], name: str) -> int:
    text = form.get(name, "").strip()
    if text and not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise BadForm(f"{name} must be a number, got {text[:40]!r}.")
    return int(text or 0)


def _pairs(text: str, what: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for line in text.splitlines():
        if line.strip():
            name, equals, value = line.partition("=")
            if not equals:
                raise BadForm(f"Each line of {what} is NAME=VALUE, got {line[:80]!r}.")
            pairs[name.strip()] = value
    return pairs


def _lines(pairs: Mapping[str, str]) -> str:
    return "\n".join(f"{name}={value}" for name, value in pairs.items())


# -- as text --


def as_cli(request: Document) -> str:
    """Returns the command of the AWS CLI that submits it."""
    words = ["aws batch submit-job"]
    for member, value in request.items():
        option = "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in member)
        text = value if isinstance(value, str) else str(value) if isinstance(value, int) else _json(value)
        words.append(f"--{option} {shlex.quote(text)}")
    return " \\\n  ".join(words)


def as_boto3(request: Document) -> str:
    """Returns the call of boto3 that submits it."""
    lines = ["import boto3", "", "boto3.client('batch').submit_job("]
    for member, value in request.items():
        text = pformat(value, width=WIDTH, sort_dicts=False).replace("\n", "\n    ")
        lines.append(f"    {member}={text},")
    return "\n".join([*lines, ")"])


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
