"""Checks RegisterJobDefinition's document (AWS Batch behaviour 6.2, 6.9, 7.10-7.12).

Each body has a module of its own: container_rules, task_rules, pod_rules, node_rules."""

from __future__ import annotations

import re

from batchyard.api.batch.rules.consumable_rules import check_consumables
from batchyard.api.batch.rules.container_rules import check_container
from batchyard.api.batch.rules.node_rules import check_nodes
from batchyard.api.batch.rules.pod_rules import check_pod
from batchyard.api.batch.rules.task_rules import check_task
from batchyard.api.checks import check_between, check_no_nul, quoted, require
from batchyard.core.model.compute_resources import Platform
from batchyard.core.model.refusal import Refused
from batchyard.wire.messages import Document

BODIES = ("containerProperties", "ecsProperties", "eksProperties")  # of type container: one of them
CAPABILITIES = (Platform.FARGATE, Platform.EC2, Platform.MANAGED_INSTANCES)  # in the order of AWS's refusal

RETRY_ATTEMPTS_RANGE = (1, 10)  # API: RetryStrategy
MAX_EXIT_RULES = 5  # API: RetryStrategy.evaluateOnExit
MAX_PATTERN_LENGTH = 512  # API: EvaluateOnExit
EXIT_CODE_PATTERN = re.compile(r"[0-9]*\*?")
REASON_PATTERN = re.compile(r"[0-9A-Za-z.:\s]*\*?")
# FAILED is no action of AWS's; tutorials use it and mean EXIT: a recorded superset.
EXIT_ACTIONS = frozenset({"RETRY", "EXIT", "FAILED"})

PRIORITY_RANGE = (0, 9999)  # API: RegisterJobDefinitionRequest.schedulingPriority


def check_definition(document: Document, min_timeout_seconds: int) -> None:
    """Checks the whole request, without its name and tags."""
    for member, value in document.items():
        check_no_nul(value, member)
    platform = _check_platform(document)
    if document["type"] == "multinode":
        _check_multinode(document, platform)
    else:
        _check_single(document, platform)
    check_consumables(document.get("consumableResourceProperties"))
    check_retry(document.get("retryStrategy"))
    check_timeout(document.get("timeout"), min_timeout_seconds)
    check_priority(document.get("schedulingPriority"))


def check_retry(strategy: Document | None) -> None:
    """Checks retryStrategy of a definition or of a job."""
    if strategy is None:
        return
    attempts = strategy.get("attempts")
    require(attempts is not None, "RetryAttempts must be provided with retry strategy.")
    check_between(attempts, *RETRY_ATTEMPTS_RANGE, "RetryAttempts")
    rules = strategy.get("evaluateOnExit", [])
    require(len(rules) <= MAX_EXIT_RULES, f"Up to {MAX_EXIT_RULES} evaluateOnExit condition can be specified.")
    for rule in rules:
        _check_exit_rule(rule)


def _check_exit_rule(rule: Document) -> None:
    patterns = {member: rule[member] for member in ("onExitCode", "onReason", "onStatusReason") if rule.get(member)}
    require(patterns, "EvaluateOnExit should contain at least one of onExitCode, onReason or onStatusReason")
    for member, pattern in patterns.items():
        require(
            len(pattern) <= MAX_PATTERN_LENGTH,
            f"Evaluate on exit condition cannot exceed {MAX_PATTERN_LENGTH} characters.",
        )
        allowed = EXIT_CODE_PATTERN if member == "onExitCode" else REASON_PATTERN
        require(allowed.fullmatch(pattern), "Evaluate on exit condition contains restricted characters.")
    action = rule["action"]
    require(action.upper() in EXIT_ACTIONS, f"EvaluateOnExit action must be RETRY or EXIT, got {quoted(action)}.")


def check_timeout(timeout: Document | None, min_seconds: int) -> None:
    """Checks timeout of a definition or of a job."""
    seconds = (timeout or {}).get("attemptDurationSeconds")
    if seconds is not None and seconds < min_seconds:
        raise Refused(f"timeout.attemptDurationSeconds must be at least {min_seconds} seconds, got {seconds}.")


def check_priority(priority: int | None) -> None:
    low, high = PRIORITY_RANGE
    require(priority is None or low <= priority <= high, f"Scheduling priority must be between {low} and {high}.")


def _check_platform(document: Document) -> Platform:
    capabilities = document.get("platformCapabilities")
    if not capabilities:
        return Platform.EC2
    for capability in capabilities:
        require(
            capability in CAPABILITIES,
            f"Capability {quoted(capability)} is not valid. Valid capabilities: [{', '.join(CAPABILITIES)}]",
        )
    require(len(capabilities) == 1, "Exactly 1 capability must be provided.")
    return Platform(capabilities[0])


def _check_single(document: Document, platform: Platform) -> None:
    bodies = [body for body in BODIES if body in document]
    require(bodies, "ECS ContainerProperties, ecsProperties, or eksProperties is required when using type container.")
    require("nodeProperties" not in document, "nodeProperties can only be used with type multinode.")
    if len(bodies) > 1:
        first = "ECS containerProperties" if bodies[0] == "containerProperties" else bodies[0]
        raise Refused(f"Cannot use both {first} and {bodies[1]}")
    if "containerProperties" in document:
        require(platform is not Platform.MANAGED_INSTANCES, "Cannot use ECS containerProperties for MANAGED_INSTANCES")
        check_container(document["containerProperties"], platform)
    elif "ecsProperties" in document:
        check_task(document["ecsProperties"], platform)
    else:
        _check_without_platform(document)
        check_pod(document["eksProperties"])


def _check_without_platform(document: Document) -> None:
    """Refuses what only jobs on ECS have."""
    require("platformCapabilities" not in document, "platformCapabilities is not applicable for EKS jobs.")
    require(not document.get("propagateTags"), "Batch on EKS does not support tag propagation.")


def _check_multinode(document: Document, platform: Platform) -> None:
    require(platform is not Platform.FARGATE, "Fargate does not support MNP jobs")
    require(platform is not Platform.MANAGED_INSTANCES, "MANAGED_INSTANCES does not support MNP jobs")
    require("nodeProperties" in document, "Node properties of multinode job is required.")
    for body in BODIES:
        require(body not in document, f"Cannot use both nodeProperties and {body}")
    properties = document["nodeProperties"]
    check_nodes(properties)
    if any("eksProperties" in node_range for node_range in properties["nodeRangeProperties"]):
        _check_without_platform(document)
