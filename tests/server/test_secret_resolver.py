"""What valueFrom may name, and what a launch becomes when it can't be read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from batchyard.core.machine import Machine
from batchyard.core.model.attempt_node import AttemptNode
from batchyard.core.model.effects import LaunchTask
from batchyard.core.model.names import Account
from batchyard.core.model.records import ContainerSpec, Mount, TaskSpec
from batchyard.core.model.resources import Resources
from batchyard.engines.base import Launch
from batchyard.server.launch.cipher import KeyFileCipher
from batchyard.server.launch.launch_builder import LaunchBuilder
from batchyard.server.launch.secret_resolver import Resolver
from tests.api.service import Service

ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:"
PARAMETER = "arn:aws:ssm:us-east-1:123456789012:parameter"
UNABLE = "ResourceInitializationError: unable to pull secrets or registry auth: "


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path)
    yield made
    made.close()


@pytest.fixture
def arn(service: Service) -> str:
    """Of the secret `app`, a JSON object, whose previous value was another one."""
    old = service.call("CreateSecret", {"Name": "app", "SecretString": '{"user": "old"}'})
    new = '{"user": "ada", "port": 5432, "on": true, "deep": {"a": [1]}}'
    service.call("PutSecretValue", {"SecretId": "app", "SecretString": new})
    service.call("CreateSecret", {"Name": "text", "SecretString": "plain text"})
    service.call("CreateSecret", {"Name": "bytes", "SecretBinary": b"x"})
    service.call("CreateSecret", {"Name": "nul", "SecretString": "a\0b"})
    service.call("CreateSecret", {"Name": "unset"})
    service.call("PutParameter", {"Name": "/app/key", "Value": "k", "Type": "SecureString"})
    service.call("PutParameter", {"Name": "flat", "Value": "1", "Type": "String"})
    service.call("PutParameter", {"Name": "flat", "Value": "2", "Overwrite": True})
    return str(old["ARN"])


def launch_of(service: Service, task: TaskSpec, *pulling: str) -> Launch:
    cipher = service.context.cipher
    assert isinstance(cipher, KeyFileCipher)
    build_launch = LaunchBuilder(
        "http://x",
        "us-east-1",
        (),
        lambda a, c: a + c,
        resolver=Resolver(service.machine.world, cipher),
        pulling=pulling,
    )
    return build_launch(LaunchTask("process", AttemptNode("1"), 1, task, (), (), "job", "/group", "stream"))


def task_of(*secrets: tuple[str, str], **members: Any) -> TaskSpec:
    return TaskSpec(("true",), (), Resources(1000, 64), secrets=secrets, **members)


def test_every_form_of_a_reference(service: Service, arn: str) -> None:
    old_version = service.machine.world.secrets["app"].versions[0].version_id
    expected = {
        arn + ":user::": "ada",
        arn + ":user": "ada",
        ARN + "app:user::": "ada",
        "arn:aws:secretsmanager:eu-west-1:999999999999:secret:app-Zz09Zz:user::": "ada",
        arn + ":port::": "5432",
        arn + ":on::": "true",
        arn + ":deep::": '{"a":[1]}',
        arn + ":user:AWSPREVIOUS:": "old",
        arn + f":user::{old_version}": "old",
        arn + "::AWSPREVIOUS:": '{"user": "old"}',
        ARN + "text": "plain text",
        "/app/key": "k",
        PARAMETER + "/app/key": "k",
        "flat": "2",
        "flat:1": "1",
        PARAMETER + "/flat": "2",
    }
    launch = launch_of(service, task_of(*((f"V{n}", reference) for n, reference in enumerate(expected))))
    assert launch.problem == ""
    assert [value for _, _, value in launch.secrets] == list(expected.values())
    assert {container for container, _, _ in launch.secrets} == {"default"}


@pytest.mark.parametrize(
    ("reference", "problem"),
    [
        (ARN + "none", "Secrets Manager can't find the specified secret. Set it: batchyard secrets set none"),
        (ARN + "app-zzzzzz", "Secrets Manager can't find the specified secret. Set it: batchyard secrets set app"),
        (ARN + "app:none::", "retrieved secret from Secrets Manager did not contain json key none"),
        (ARN + "text:user::", "the secret's value is no JSON object, so that it has no key user."),
        (ARN + "app::AWSPENDING:", "can't find the specified secret value for staging label: AWSPENDING"),
        (ARN + "app:a:b:c:d", "has more than json-key:version-stage:version-id"),
        (
            ARN + "unset",
            "for staging label: AWSCURRENT. The secret has no value yet. Set it: batchyard secrets set unset",
        ),
        (ARN + "bytes", "holds a SecretBinary"),
        (ARN + "nul", "holds a NUL character"),
        ("none", "Parameter none not found."),
        ("flat:9", "could not find version 9 of flat"),
        ("arn:aws:s3:::bucket", "is neither the ARN of a secret nor"),
    ],
)
def test_what_cannot_be_read_is_the_launchs_problem(service: Service, arn: str, reference: str, problem: str) -> None:
    launch = launch_of(service, task_of(("OK", arn), ("BAD", reference)))
    assert launch.problem.startswith(f"{UNABLE}BAD from {reference}: ")
    assert problem in launch.problem
    assert launch.secrets == ()
    for value in ("ada", "plain text", "a\0b"):
        assert value not in launch.problem


def test_a_lost_key_is_a_problem_too(service: Service, arn: str, tmp_path: Path) -> None:
    (tmp_path / "secrets.key").unlink()
    assert "is not there, and without it no secret can be read" in launch_of(service, task_of(("A", arn))).problem


def test_each_container_gets_its_own_and_the_registrys_only_where_images_are_pulled(service: Service, arn: str) -> None:
    credentials = {"username": "robot", "password": "hunter2"}
    service.call("CreateSecret", {"Name": "registry", "SecretString": str(credentials).replace("'", '"')})
    private = {"repositoryCredentials": {"credentialsParameter": ARN + "registry"}}
    task = TaskSpec(
        (),
        (),
        Resources(1000, 64),
        containers=(
            ContainerSpec("main", secrets=(("A", arn + ":user::"),), document=private),
            ContainerSpec("side", secrets=(("A", "flat"), ("B", "/app/key"))),
        ),
    )
    launch = launch_of(service, task, "process")
    assert launch.secrets == (("main", "A", "ada"), ("side", "A", "2"), ("side", "B", "k"))
    assert launch.registry_credentials == (("main", "robot", "hunter2"),)
    assert "hunter2" not in repr(launch)
    assert "ada" not in repr(launch)
    assert launch_of(service, task).registry_credentials == ()
    missing = replace(task, containers=(*task.containers[:1], ContainerSpec("side", secrets=(("A", "none"),))))
    assert launch_of(service, missing).problem_container == "side"
    wrong = task_of(container={"repositoryCredentials": {"credentialsParameter": arn}})
    assert "did not contain json key username" in launch_of(service, wrong, "process").problem
    assert launch_of(service, wrong).problem == ""


def test_deleted_secrets_are_a_problem(service: Service, arn: str) -> None:
    service.call("DeleteSecret", {"SecretId": "app"})
    assert "marked for deletion" in launch_of(service, task_of(("A", arn))).problem


def test_a_restored_machine_resolves_the_same(service: Service, arn: str) -> None:
    later = Machine(Account("123456789012", "us-east-1"))
    later.restore(service.writer.load(service.now_ms))
    cipher = service.context.cipher
    container = ContainerSpec("default", secrets=(("A", arn + ":user::"),))
    assert [*Resolver(later.world, cipher).variables(container)] == [("default", "A", "ada")]


def test_secrets_that_are_mounted_are_files(service: Service, arn: str) -> None:
    def mount(secret: str, **members: Any) -> Mount:
        return Mount("", f"/{secret}", volume="v", secret=secret, **members)

    launch = launch_of(service, TaskSpec((), (), Resources(1000, 64), mounts=(mount("text"), mount("app"))))
    assert launch.files == (
        ("default", "/text", "value", "plain text"),
        ("default", "/app", "user", "ada"),
        ("default", "/app", "port", "5432"),
        ("default", "/app", "on", "true"),
        ("default", "/app", "deep", '{"a":[1]}'),
    )
    optional = launch_of(service, TaskSpec((), (), Resources(1000, 64), mounts=(mount("none", is_optional=True),)))
    assert (optional.files, optional.problem) == ((), "")
    missing = launch_of(service, TaskSpec((), (), Resources(1000, 64), mounts=(mount("none"),)))
    assert missing.problem.startswith(f"{UNABLE}the volume v from none: ")
    assert "batchyard secrets set none" in missing.problem
    assert launch_of(service, TaskSpec((), (), Resources(1, 6), mounts=(mount("bytes", is_optional=True),))).problem
