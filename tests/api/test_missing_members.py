"""A member that is missing is named in the refusal, never shown as an empty text: "'' can be seen at" helps nobody."""

from collections.abc import Iterator
from typing import Any

import pytest

from batchyard.core.model.refusal import Refused
from batchyard.wire.documents import DocumentError, read
from batchyard.wire.model import load_service_model
from tests.api import test_definition_refusals, test_task_rules
from tests.api.service import Service, container

Document = dict[str, Any]

REQUEST = load_service_model("batch").operations["RegisterJobDefinition"].input
assert REQUEST is not None

VOLUMES = container(
    volumes=[{"name": "v", "host": {"sourcePath": "/data"}}],
    mountPoints=[{"sourceVolume": "v", "containerPath": "/data"}],
    environment=[{"name": "A", "value": "1"}],
    ulimits=[{"name": "nofile", "softLimit": 1, "hardLimit": 2}],
    logConfiguration={"logDriver": "awslogs", "options": {"awslogs-group": "/g"}},
)
WHOLE: list[Document] = [
    {"containerProperties": VOLUMES},
    *test_definition_refusals.ACCEPTED,
    *test_task_rules.ACCEPTED,
]


def without_one(value: Any) -> Iterator[Any]:
    """The document without one of its members, at any depth; and with one of its lists' entries empty."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield {other: value[other] for other in value if other != name}
            yield from ({**value, name: changed} for changed in without_one(inner))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            for changed in without_one(inner):
                yield [*value[:index], changed, *value[index + 1 :]]


@pytest.mark.parametrize("whole", WHOLE, ids=range(len(WHOLE)))
def test_no_refusal_shows_an_empty_text_for_what_is_missing(whole: Document, shared: Service) -> None:
    tried, messages = 0, []
    for document in without_one(whole):
        request = {"jobDefinitionName": "lacking", "type": "container"} | document
        try:
            shared.call("RegisterJobDefinition", read(REQUEST, request))
            shared.submit("lacking")
        except Refused as refusal:
            messages.append(refusal.message)
        except DocumentError:
            continue  # a member that the model requires
        tried += 1
    assert tried
    assert [message for message in messages if "''" in message or '""' in message] == []


def test_volumes_that_lack_something_are_told_what(service: Service) -> None:
    def refusal(volume: Document, point: Document) -> str:
        service.register("v", containerProperties=container(volumes=[volume], mountPoints=[point]))
        with pytest.raises(Refused) as raised:
            service.submit("v")
        return raised.value.message

    point = {"sourceVolume": "v", "containerPath": "/v"}
    for volume in ({"name": "v"}, {"name": "v", "host": {}}, {"name": "v", "host": {"sourcePath": ""}}):
        assert refusal(volume, point) == (
            "No compute environment of job queue default can run this job: the process engine has no mounts, and the "
            "volume 'v' has no host.sourcePath: name the directory of this machine there, and the same in "
            "containerPath, or use a queue whose environment runs containers."
        )
    assert refusal({"name": "v", "host": {"sourcePath": "/v"}}, {"sourceVolume": "v"}) == (
        "mountPoints has the volume 'v' without a containerPath: say where it is to be seen."
    )
    assert refusal({"name": "v", "host": {"sourcePath": "/v"}}, {"containerPath": "/v"}) == (
        "mountPoints has an entry without sourceVolume, which is not among the volumes of the definition."
    )
