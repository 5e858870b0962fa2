"""What RegisterJobDefinition's document must be (AWS Batch behaviour 6.2, 6.9, 6.10, 7.10-7.12, 8.1)."""

from __future__ import annotations

import re
from typing import Any

from batchyard.api.checks import check_between, check_no_nul, has_duplicates, quoted, require
from batchyard.api.container_rules import check_container
from batchyard.core.refusal import Refused

Document = dict[str, Any]

BODIES = ("containerProperties", "ecsProperties", "eksProperties", "nodeProperties")
CAPABILITIES = ("FARGATE", "EC2", "MANAGED_INSTANCES")  # in the order of AWS's refusal

RETRY_ATTEMPTS = (1, 10)  # API: RetryStrategy
MAX_EXIT_RULES = 5  # API: RetryStrategy.evaluateOnExit
MAX_PATTERN_LENGTH = 512  # API: EvaluateOnExit
EXIT_CODE_PATTERN = re.compile(r"[0-9]*\*?")
REASON_PATTERN = re.compile(r"[0-9A-Za-z.:\s]*\*?")
# FAILED is no action of AWS's; tutorials use it and mean EXIT: a recorded superset.
EXIT_ACTIONS = frozenset({"RETRY", "EXIT", "FAILED"})

PRIORITY = (0, 9999)  # API: RegisterJobDefinitionRequest.schedulingPriority
NODES = (1, 1000)  # user guide: mnp-node-groups
MAX_NODE_RANGES = 5
TARGET_NODES = re.compile(r"[0-9]*:?[0-9]*")
CONTAINERS = (1, 10)  # API: EcsTaskProperties, EksPodProperties


def check_definition(document: Document, min_timeout_seconds: int) -> None:
    """The whole request, without its name and tags."""
    for member, value in document.items():
        check_no_nul(value, member)
    platform = _check_platform(document)
    if document["type"] == "multinode":
        _check_multinode(document, platform)
    else:
        _check_single(document, platform)
    check_retry(document.get("retryStrategy"))
    check_timeout(document.get("timeout"), min_timeout_seconds)
    check_priority(document.get("schedulingPriority"))


def check_retry(strategy: Document | None) -> None:
    """retryStrategy of a definition or of a job."""
    if strategy is None:
        return
    attempts = strategy.get("attempts")
    require(attempts is not None, "RetryAttempts must be provided with retry strategy.")
    check_between(attempts, *RETRY_ATTEMPTS, "RetryAttempts")
    rules = strategy.get("evaluateOnExit", [])
    require(
        len(rules) <= MAX_EXIT_RULES,
        f"evaluateOnExit must hold at most {MAX_EXIT_RULES} entries, got {len(rules)}.",
    )
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
    """timeout of a definition or of a job."""
    seconds = (timeout or {}).get("attemptDurationSeconds")
    if seconds is not None and seconds < min_seconds:
        raise Refused(f"timeout.attemptDurationSeconds must be at least {min_seconds} seconds, got {seconds}.")


def check_priority(priority: int | None) -> None:
    low, high = PRIORITY
    require(priority is None or low <= priority <= high, f"Scheduling priority must be between {low} and {high}.")


def _check_platform(document: Document) -> str:
    """Returns EC2, FARGATE or MANAGED_INSTANCES."""
    capabilities = document.get("platformCapabilities")
    if not capabilities:
        return "EC2"
    for capability in capabilities:
        require(
            capability in CAPABILITIES,
            f"Capability {quoted(capability)} is not valid. Valid capabilities: [{', '.join(CAPABILITIES)}]",
        )
    require(len(capabilities) == 1, "Exactly 1 capability must be provided.")
    return str(capabilities[0])


def _check_single(document: Document, platform: str) -> None:
    bodies = [body for body in BODIES if body in document]
    require("nodeProperties" not in bodies, "nodeProperties can only be used with type multinode.")
    require(bodies, "ECS ContainerProperties, ecsProperties, or eksProperties is required when using type container.")
    if len(bodies) > 1:
        first = "ECS containerProperties" if bodies[0] == "containerProperties" else bodies[0]
        raise Refused(f"Cannot use both {first} and {bodies[1]}")
    if "containerProperties" in document:
        require(platform != "MANAGED_INSTANCES", "Cannot use ECS containerProperties for MANAGED_INSTANCES")
        check_container(document["containerProperties"], platform)
    elif "ecsProperties" in document:
        _check_ecs(document["ecsProperties"])
    else:
        _check_eks(document)


def _check_ecs(properties: Document) -> None:
    tasks = properties.get("taskProperties", [])
    require(len(tasks) == 1, f"ecsProperties.taskProperties must hold exactly 1 task, got {len(tasks)}.")
    containers = tasks[0]["containers"]
    low, high = CONTAINERS
    require(low <= len(containers) <= high, f"Number of containers must be between {low} and {high}")
    names = [container["name"] for container in containers if container.get("name")]
    require(not has_duplicates(names), "Container names must be unique")
    require(
        any(container.get("essential", True) for container in containers),
        "At least one container must be set as essential",
    )
    for container in containers:
        require(container.get("image"), "ECS Container Image must be provided.")


def _check_eks(document: Document) -> None:
    require("platformCapabilities" not in document, "platformCapabilities is not applicable for EKS jobs.")
    require(not document.get("propagateTags"), "propagateTags is not applicable for EKS jobs.")
    pod = document["eksProperties"].get("podProperties", {})
    containers = pod.get("containers", [])
    require(containers, "Containers must be provided for Batch on EKS jobs.")
    _, high = CONTAINERS
    require(len(containers) <= high, f"podProperties.containers must hold at most {high} entries.")
    names = [container.get("name", "Default") for container in [*containers, *pod.get("initContainers", [])]]
    for name in names:
        require(names.count(name) == 1, f"The container name: {quoted(name)} must be unique in multi-container job.")


def _check_multinode(document: Document, platform: str) -> None:
    require(platform != "FARGATE", "Fargate does not support MNP jobs")
    require(platform != "MANAGED_INSTANCES", "MANAGED_INSTANCES does not support MNP jobs")
    require("nodeProperties" in document, "Node properties of multinode job is required.")
    for body in BODIES[:3]:
        require(body not in document, f"Cannot use both nodeProperties and {body}")
    properties = document["nodeProperties"]
    low, high = NODES
    count, ranges = properties["numNodes"], properties["nodeRangeProperties"]
    require(low <= count <= high, f"Number of nodes must be between {low} and {high}.")
    require(0 <= properties["mainNode"] < count, "Main node index is out of range, must be less than numNodes.")
    require(len(ranges) <= MAX_NODE_RANGES, f"Maximum allowed size of node range properties is {MAX_NODE_RANGES}")
    covered: set[int] = set()
    for node_range in ranges:
        covered |= _check_node_range(node_range, count)
    require(len(covered) == count, "Node Range Properties target nodes have missing ranges")


def _check_node_range(node_range: Document, count: int) -> set[int]:
    """Checks one range and returns the nodes it covers."""
    target = node_range["targetNodes"]
    require(TARGET_NODES.fullmatch(target) and target, "targetNodes should contain only digits.")
    first, colon, last = target.partition(":")
    start = int(first[:9]) if first else 0
    stop = start if not colon else int(last[:9]) if last else count - 1
    require(
        start <= stop < count,
        f"Node range error {quoted(target)}. Node range should be smaller than number of nodes",
    )
    bodies = [body for body in ("container", "ecsProperties", "eksProperties") if body in node_range]
    require(bodies, f"Must specify container for node range {target}")
    require(len(bodies) == 1, "NodeRangeProperties can not use both ecsProperties and container fields")
    if "container" in node_range:
        check_container(node_range["container"], "EC2")
    elif "ecsProperties" in node_range:
        _check_ecs(node_range["ecsProperties"])
    return set(range(start, stop + 1))
