"""The registry of Step Functions, and what it keeps (step functions spec 2, 3)."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Struct

from batchyard.core.model.executions import STANDARD
from batchyard.core.model.names import Account
from batchyard.core.model.refusal import Refused
from batchyard.workflows import registry_commands as c
from batchyard.workflows.arns import activity_arn, state_machine_arn
from batchyard.workflows.records import DELETING, REVISION
from batchyard.workflows.registry import Registry

ACCOUNT = Account("123456789012", "us-east-1")
CURRENT = "The current State Machine revision is"
ROLE = "arn:aws:iam::123456789012:role/workflows"
ARN = state_machine_arn(ACCOUNT, "nightly")


class Kept:
    """A registry and the documents that it asked to keep."""

    def __init__(self) -> None:
        self.documents: dict[tuple[str, str], Struct] = {}
        self.now_ms = 1000
        self.numbers = 0
        self.registry = Registry(ACCOUNT)

    def commit(self) -> None:
        for place, record in self.registry.take().items():
            if record is None:
                self.documents.pop(place, None)
            else:
                self.documents[place] = record

    def restart(self) -> None:
        self.registry = Registry(ACCOUNT)
        self.registry.restore(dict(sorted(self.documents.items())))

    def do(self, command: Any) -> Any:
        try:
            return self.registry.handle(command, self.now_ms)
        finally:
            self.commit()

    def create(self, definition: str = "{}", name: str = "nightly", **members: Any) -> c.Published:
        self.numbers += 1
        made = c.CreateStateMachine(name, STANDARD, definition, ROLE, f"revision-{self.numbers}", **members)
        return self.do(made)

    def update(self, definition: str | None = None, **members: Any) -> c.Published:
        self.numbers += 1
        return self.do(c.UpdateStateMachine(ARN, f"revision-{self.numbers}", definition, **members))

    def revisions(self) -> list[str]:
        return [name for kind, name in self.documents if kind == REVISION]


@pytest.fixture
def kept() -> Kept:
    return Kept()


def refused(kept: Kept, command: Any) -> tuple[str, str]:
    before = dict(kept.documents)
    with pytest.raises(Refused) as caught:
        kept.do(command)
    assert kept.documents == before, "a refused command changed something"
    return caught.value.code, caught.value.message


def test_an_equal_request_makes_one_machine_and_an_other_definition_is_refused(kept: Kept) -> None:
    first = kept.create("{ }", tags={"a": "1"})
    kept.now_ms = 2000
    assert kept.create("{ }").machine == first.machine
    with pytest.raises(Refused, match=f"State Machine Already Exists: '{ARN}'"):
        kept.create("{}")
    with pytest.raises(Refused):
        kept.create("{ }", publish=True)


def test_an_update_makes_a_revision_and_equal_values_make_none(kept: Kept) -> None:
    initial = kept.create("1").revision
    assert kept.update("1").revision == initial
    second = kept.update("2").revision
    assert (second.definition, second.is_initial, kept.revisions()) == ("2", False, [second.revision_id])
    assert kept.update(role_arn=ROLE).revision == second


def test_a_revision_stays_while_a_version_or_an_execution_needs_it(kept: Kept) -> None:
    kept.create("1", publish=True)
    used = kept.update("2").revision
    kept.registry.execution_began(used)
    kept.commit()
    kept.update("3")
    assert kept.revisions() == ["revision-1", "revision-2", "revision-3"]
    kept.do(c.DeleteVersion(f"{ARN}:1"))
    assert kept.revisions() == ["revision-2", "revision-3"]
    assert kept.registry.definition("revision-2") == 2


def test_versions_are_numbered_once_and_an_unchanged_revision_has_one(kept: Kept) -> None:
    kept.create("1")
    assert kept.do(c.PublishVersion(ARN)).number == 1
    assert kept.do(c.PublishVersion(ARN, description="again")).number == 1
    assert kept.update("2", publish=True).version.number == 2  # type: ignore[union-attr]
    kept.do(c.DeleteVersion(f"{ARN}:2"))
    assert kept.do(c.PublishVersion(ARN, "revision-2")).number == 3
    assert [one.number for one in kept.do(c.AskVersions(ARN))] == [3, 1]
    assert refused(kept, c.PublishVersion(ARN, "INITIAL")) == (
        "ConflictException",
        f"Failed to publish the State Machine version for revision INITIAL. {CURRENT} revision-2.",
    )
    assert refused(kept, c.UpdateStateMachine(f"{ARN}:1", "x", "3"))[0] == "StateMachineDoesNotExist"


def route(number: int, weight: int) -> c.AliasRoute:
    return c.AliasRoute(f"{ARN}:{number}" if number else ARN, weight)


@pytest.mark.parametrize(
    ("routes", "text"),
    [
        ((route(0, 100),), f"must contain state machine version ARNs. Received: [{ARN}]"),
        (
            (route(1, 50), route(1, 50)),
            f"must contain distinct state machine version ARNs. Received: [{ARN}:1, {ARN}:1]",
        ),
        ((route(1, 70), route(2, 29)), "Sum of routing configuration weights must equal 100. Received: [70, 29]"),
        ((route(7, 100),), "Request references a resource that does not exist."),
    ],
)
def test_routes_of_an_alias_are_checked(kept: Kept, routes: tuple[c.AliasRoute, ...], text: str) -> None:
    kept.create("1", publish=True)
    kept.update("2", publish=True)
    assert text in refused(kept, c.CreateAlias("live", routes))[1]


def test_an_alias_sends_executions_to_its_versions_by_weight_and_always_the_same_way(kept: Kept) -> None:
    kept.create("1", publish=True)
    kept.update("2", publish=True)
    kept.do(c.CreateAlias("live", (route(1, 75), route(2, 25))))
    chosen = [kept.registry.resolve(f"{ARN}:live", f"execution {number}") for number in range(400)]
    share = sum(one.version is not None and one.version.number == 1 for one in chosen)
    assert 250 < share < 350
    kept.restart()
    assert [kept.registry.resolve(f"{ARN}:live", f"execution {number}") for number in range(400)] == chosen


def test_a_version_that_an_alias_uses_is_not_deleted(kept: Kept) -> None:
    kept.create("1", publish=True)
    kept.update("2", publish=True)
    alias = kept.do(c.CreateAlias("live", (route(1, 100),), "d"))
    assert kept.do(c.CreateAlias("live", (route(1, 100),), "d")) == alias
    assert refused(kept, c.CreateAlias("live", (route(1, 100),), "e"))[0] == "ConflictException"
    assert refused(kept, c.DeleteVersion(f"{ARN}:1"))[1].endswith("referencing this version: [live]")
    assert [one.name for one in kept.do(c.AskAliases(f"{ARN}:1"))] == ["live"]
    kept.do(c.UpdateAlias(f"{ARN}:live", (route(2, 100),)))
    assert kept.do(c.AskAliases(f"{ARN}:1")) == ()
    kept.do(c.DeleteVersion(f"{ARN}:1"))
    kept.do(c.DeleteAlias(f"{ARN}:live"))
    kept.do(c.DeleteAlias(f"{ARN}:live"))
    assert refused(kept, c.UpdateAlias(f"{ARN}:live", description="x"))[0] == "ResourceNotFound"


def test_a_machine_goes_with_its_last_execution(kept: Kept) -> None:
    kept.create("1", publish=True)
    kept.do(c.CreateAlias("live", (route(1, 100),)))
    kept.registry.execution_began(kept.registry.resolve(ARN, "").revision)
    kept.commit()
    kept.do(c.DeleteStateMachine(ARN))
    kept.restart()
    kept.registry.execution_restored("nightly")
    assert kept.do(c.AskStateMachine(ARN)).machine.status == DELETING
    with pytest.raises(Refused, match="being deleted"):
        kept.create("1", publish=True)
    with pytest.raises(Refused, match="being deleted"):
        kept.registry.resolve(ARN, "")
    kept.registry.execution_ended("nightly")
    kept.commit()
    assert refused(kept, c.AskStateMachine(ARN)) == (
        "StateMachineDoesNotExist",
        f"State Machine Does Not Exist: '{ARN}'",
    )
    assert list(kept.documents) == [(REVISION, "revision-1")], "a closed execution still shows its definition"


def test_pages_are_in_the_order_of_creation_also_after_a_restart(kept: Kept) -> None:
    for at_ms, name in ((3, "a"), (3, "c"), (2, "b"), (9, "0")):
        kept.now_ms = at_ms
        kept.create(name=name)
        kept.do(c.CreateActivity(name))
    kept.restart()
    for ask in (c.AskStateMachines, c.AskActivities):
        assert [one.name for one in kept.do(ask(2))] == ["b", "a"]
        assert [one.name for one in kept.do(ask(9, (3, "a")))] == ["c", "0"]


def test_tags_are_of_machines_and_activities_alone(kept: Kept) -> None:
    kept.create(publish=True, tags={"a": "1", "b": "2"})
    kept.do(c.CreateActivity("walk"))
    kept.do(c.TagResource(ARN, {"c": "3"}, ("a",)))
    assert kept.do(c.AskTags(ARN)) == {"b": "2", "c": "3"}
    kept.do(c.TagResource(activity_arn(ACCOUNT, "walk"), {"x": ""}))
    assert kept.do(c.AskTags(activity_arn(ACCOUNT, "walk"))) == {"x": ""}
    assert refused(kept, c.AskTags(f"{ARN}:1")) == ("ResourceNotFound", f"Resource not found: '{ARN}:1'")
    assert refused(kept, c.TagResource(ARN, {str(n): "" for n in range(50)}))[0] == "TooManyTags"


@pytest.mark.parametrize(
    ("arn", "message"),
    [
        ("nightly", "Invalid Arn: 'Invalid ARN prefix: nightly'"),
        (
            "arn:aws:sns:us-east-1:123456789012:topic:x",
            "Invalid ARN prefix: arn:aws:sns:us-east-1:123456789012:topic:x",
        ),
        ("arn:aws:states:us-east-1:123456789012:express:a:b:c", "Resource type not valid in this context: express"),
        ("arn:aws:states:us-east-1:999999999999:stateMachine:nightly", "State Machine Does Not Exist"),
    ],
)
def test_what_is_no_state_machine_here_is_refused(kept: Kept, arn: str, message: str) -> None:
    kept.create()
    assert message in refused(kept, c.AskStateMachine(arn))[1]


def test_deleting_what_is_not_there_is_no_fault(kept: Kept) -> None:
    kept.do(c.DeleteStateMachine(ARN))
    kept.do(c.DeleteVersion(f"{ARN}:3"))
    kept.do(c.DeleteActivity(activity_arn(ACCOUNT, "none")))
    kept.do(c.CreateActivity("walk"))
    kept.do(c.DeleteActivity(activity_arn(ACCOUNT, "walk")))
    assert refused(kept, c.AskActivity(activity_arn(ACCOUNT, "walk")))[0] == "ActivityDoesNotExist"
    assert not kept.documents
