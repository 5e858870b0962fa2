"""Parameters of the Parameter Store: versions, types, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from batchyard.core.model import commands as c
from batchyard.core.model.refusal import Refused
from batchyard.core.model.secret_records import Parameter
from batchyard.core.secrets import parameters
from batchyard.core.secrets.document_kinds import PARAMETER
from batchyard.core.state.world import World
from tests.core.driver import Driver


@pytest.fixture
def world() -> World:
    return Driver().machine.world


def put(world: World, name: str = "/a", **members: Any) -> Parameter:
    value = c.SealedValue("id", b"sealed", b"digest")
    return parameters.put(
        world, c.PutParameter(name, **{"type": "String", "value": value, "tier": "Standard"} | members)
    )


def test_a_new_parameter_has_one_version_and_is_written(world: World) -> None:
    made = put(world)
    assert [version.number for version in made.versions] == [1]
    assert world.changes.documents[PARAMETER, "/a"] is made
    assert parameters.find(world, "/a") is made


def test_overwriting_makes_the_next_version_and_keeps_what_is_not_named(world: World) -> None:
    put(world, description="first")
    again = put(world, overwrite=True, type="")
    assert [version.number for version in again.versions] == [1, 2]
    assert (again.description, again.type) == ("first", "String")
    assert put(world, overwrite=True, description="").description == ""


def test_only_so_many_versions_are_kept(world: World) -> None:
    put(world)
    for _ in range(parameters.MAX_VERSIONS):
        put(world, overwrite=True)
    numbers = [version.number for version in parameters.find(world, "/a").versions]
    assert numbers == list(range(2, parameters.MAX_VERSIONS + 2))


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({}, "ParameterAlreadyExists"),
        ({"overwrite": True, "type": "SecureString"}, "HierarchyTypeMismatchException"),
        ({"name": "/new", "type": ""}, "ValidationException"),
    ],
)
def test_what_is_refused(world: World, members: dict[str, Any], code: str) -> None:
    before = put(world)
    with pytest.raises(Refused) as refusal:
        put(world, **members)
    assert refusal.value.code == code
    assert world.parameters == {"/a": before}


def test_there_is_a_limit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parameters, "MAX_PARAMETERS", 1)
    put(world)
    with pytest.raises(Refused, match="the most there can be"):
        put(world, "/b")
    put(world, overwrite=True)


def test_a_deleted_parameter_is_gone(world: World) -> None:
    put(world)
    parameters.delete(world, c.DeleteParameter("/a"))
    assert world.changes.documents[PARAMETER, "/a"] is None
    with pytest.raises(Refused, match="Parameter /a not found"):
        parameters.delete(world, c.DeleteParameter("/a"))
