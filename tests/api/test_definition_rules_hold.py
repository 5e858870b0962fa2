"""Whatever a definition of the model's shapes says, the rules accept or refuse it: they never fail themselves, and what
they accepted can be described."""

import random
from collections.abc import Iterator
from typing import Any

from batchyard.api.batch.definitions import kept
from batchyard.api.batch.render import definition_detail
from batchyard.api.batch.rules.definition_rules import check_definition
from batchyard.api.batch.rules.override_rules import check_node_overrides, check_overrides
from batchyard.core.model.names import Account
from batchyard.core.model.records import Definition
from batchyard.core.model.refusal import Refused
from batchyard.wire.documents import check, read
from batchyard.wire.model import INTEGER_RANGES, Shape, load_service_model
from tests.api import test_definition_refusals, test_node_rules, test_pod_rules, test_task_rules

BATCH = load_service_model("batch")
REQUEST = BATCH.operations["RegisterJobDefinition"].input
DETAIL = BATCH.shapes["JobDefinition"]
OVERRIDES = BATCH.shapes["NodeOverrides"]
ACCOUNT = Account("123456789012", "us-east-1")
SEEDS = 3000
TEXTS = ("", "a", "0", "1", "-1", "1.5", "0:", ":", "512", "512Mi", "ENABLED", "default", "a/b", "é", "x" * 300, "1e9")

VALID: list[dict[str, Any]] = [
    *({"type": "container"} | members for members in test_definition_refusals.ACCEPTED),
    *({"type": "container"} | members for members in test_task_rules.ACCEPTED),
    {"type": "container"} | test_pod_rules.WHOLE,
    *({"type": "multinode"} | members for members in test_node_rules.ACCEPTED),
]


def random_value(shape: Shape, rng: random.Random, depth: int = 0) -> Any:
    """Any value of the shape, texts and numbers at its edges preferred."""
    if shape.type == "structure":
        members = {name: m for name, m in shape.members.items() if m.required or rng.random() < 0.3}
        return {name: random_value(m.shape, rng, depth + 1) for name, m in members.items()}
    if shape.type in ("list", "map"):
        assert shape.element is not None
        found = [random_value(shape.element, rng, depth + 1) for _ in range(rng.choice((0, 1, 2)))]
        return found if shape.type == "list" else {f"{rng.choice(TEXTS)}{i}": one for i, one in enumerate(found)}
    if shape.type in INTEGER_RANGES:
        return rng.choice([0, 1, -1, 2, 60, *INTEGER_RANGES[shape.type]])
    if shape.type == "boolean":
        return rng.random() < 0.5
    return rng.choice(shape.enum or TEXTS)


def changed(shape: Shape, value: Any, rng: random.Random, likely: float) -> Any:
    """`value` with about one member in 1/`likely` dropped, added or replaced by another of its shape."""
    if rng.random() < likely:
        return random_value(shape, rng)
    if shape.type == "structure":
        found = {}
        for name, member in shape.members.items():
            if name in value and (member.required or rng.random() > likely):
                found[name] = changed(member.shape, value[name], rng, likely)
            elif name not in value and rng.random() < likely / 2:
                found[name] = random_value(member.shape, rng)
        return found
    if shape.type == "list":
        assert shape.element is not None
        return [changed(shape.element, one, rng, likely) for one in value]
    return value


def documents() -> Iterator[dict[str, Any]]:
    assert REQUEST is not None
    for seed in range(SEEDS):
        rng = random.Random(seed)
        whole = {"jobDefinitionName": "any"} | rng.choice(VALID)
        found = changed(REQUEST, whole, rng, rng.choice((0.01, 0.05, 0.2)))
        if isinstance(found.get("type"), str):
            yield read(REQUEST, found | {"type": rng.choice((whole["type"], "container", "multinode"))})


def test_the_rules_say_yes_or_no_and_what_they_accept_can_be_described() -> None:
    accepted, refusals = 0, set()
    for request in documents():
        document = {member: value for member, value in request.items() if member not in ("jobDefinitionName", "tags")}
        try:
            check_definition(document, min_timeout_seconds=60)
        except Refused as refusal:
            refusals.add(refusal.message[:30])
            continue
        accepted += 1
        definition = Definition("any", 1, "ACTIVE", kept(document), {}, 1)
        check(DETAIL, definition_detail(definition, ACCOUNT), "detail")
    assert accepted > SEEDS / 20, "so few are accepted that describing is not tried"
    assert len(refusals) > 60, "so few rules are broken that they are not tried"


def test_node_overrides_are_taken_or_refused_whatever_they_say() -> None:
    taken = 0
    for seed in range(SEEDS):
        rng = random.Random(seed)
        overrides = random_value(OVERRIDES, rng)
        nodes = rng.choice(test_node_rules.ACCEPTED)["nodeProperties"]
        try:
            check_node_overrides(overrides, nodes)
            check_overrides(random_value(BATCH.shapes["ContainerOverrides"], rng))
            taken += 1
        except Refused:
            continue
    assert taken > 0
