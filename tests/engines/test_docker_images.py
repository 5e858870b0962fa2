"""Images are pulled when they are not there, with the credentials that there are (AWS Batch behaviour 6.4)."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from batchyard.core.model.attempt_node import AttemptNode
from batchyard.core.model.records import TaskSpec
from batchyard.core.model.reports import Exited, NotStarted
from batchyard.engines.base import Launch
from batchyard.engines.docker.credentials import Credentials, CredentialsError, find_credentials
from batchyard.engines.docker.images import ImageName, parse_image
from tests.engines.conformance import launch_of, run_to_end, wait_for_end
from tests.engines.docker_harness import DockerHarness
from tests.engines.dockerd import busybox_files
from tests.engines.registry import Registry

PASSWORD = "open sesame"  # of a registry that lives for one test


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("busybox", ImageName("docker.io", "busybox", "latest")),
        ("org/tool:1.2", ImageName("docker.io", "org/tool", "1.2")),
        ("ghcr.io/org/tool", ImageName("ghcr.io", "ghcr.io/org/tool", "latest")),
        ("localhost:5000/x:1", ImageName("localhost:5000", "localhost:5000/x", "1")),
        ("quay.io/x:1@sha256:ab", ImageName("quay.io", "quay.io/x", "sha256:ab")),
    ],
)
def test_names_of_images(image: str, expected: ImageName) -> None:
    assert parse_image(image) == expected


# -- the user's configuration --


def look_up(home: Path, registry: str, config: Any = None) -> Credentials | None:
    if config is not None:
        (home / ".docker").mkdir(exist_ok=True)
        (home / ".docker" / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    environ = {"HOME": str(home), "PATH": f"{home}:/bin:/usr/bin"}
    return asyncio.run(find_credentials(registry, environ))


def auth(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def helper(home: Path, name: str, script: str) -> None:
    path = home / f"docker-credential-{name}"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_credentials_of_the_file(tmp_path: Path) -> None:
    config = {
        "auths": {
            "https://index.docker.io/v1/": {"auth": auth("hub", "a:b")},
            "ghcr.io": {"username": "me", "password": "p"},
            "https://old.example/v2/": {"identitytoken": "token"},
        }
    }
    assert look_up(tmp_path, "docker.io") is None
    assert look_up(tmp_path, "docker.io", config) == Credentials("hub", "a:b")
    assert look_up(tmp_path, "ghcr.io") == Credentials("me", "p")
    assert look_up(tmp_path, "old.example") == Credentials(identity_token="token")
    assert look_up(tmp_path, "elsewhere.example") is None


def test_a_helper_is_asked_for_its_registry_and_the_store_for_all_others(tmp_path: Path) -> None:
    helper(tmp_path, "one", 'read server; echo "{\\"Username\\":\\"u-$server\\",\\"Secret\\":\\"s\\"}"')
    helper(tmp_path, "all", 'echo \'{"Username":"<token>","Secret":"t"}\'')
    config = {"credHelpers": {"one.example": "one"}, "credsStore": "all"}
    assert look_up(tmp_path, "one.example", config) == Credentials("u-one.example", "s")
    assert look_up(tmp_path, "docker.io") == Credentials(identity_token="t")


def test_a_helper_that_knows_nothing_leaves_it_to_the_file(tmp_path: Path) -> None:
    helper(tmp_path, "none", "echo credentials not found in native keychain; exit 1")
    config = {"credsStore": "none", "auths": {"ghcr.io": {"auth": auth("me", "p")}}}
    assert look_up(tmp_path, "ghcr.io", config) == Credentials("me", "p")


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("{", "can't be read"),
        ("[]", "no Docker configuration"),
        ('{"credsStore": "missing"}', "docker-credential-missing can't be started"),
        ('{"credsStore": "angry"}', "docker-credential-angry failed: locked"),
        ('{"credsStore": "odd"}', "gave no credentials that can be read"),
    ],
)
def test_what_is_wrong_with_the_configuration_is_said(tmp_path: Path, config: str, expected: str) -> None:
    helper(tmp_path, "angry", "echo locked; exit 1")
    helper(tmp_path, "odd", "echo hello")
    with pytest.raises(CredentialsError, match=expected):
        look_up(tmp_path, "ghcr.io", config)


# -- a real daemon and a registry --


@pytest.fixture
def registry(docker: DockerHarness, tmp_path: Path) -> Iterator[Callable[..., Registry]]:
    opened: list[Registry] = []

    def open_registry(password: str = "") -> Registry:
        opened.append(Registry(f"x{uuid4().hex[:8]}/tool", busybox_files(), password))
        return opened[-1]

    yield open_registry
    for one in opened:
        one.close()
        docker.drop()
        for container in docker.containers():
            docker.daemon.json("DELETE", f"/containers/{container['Id']}", {"force": "1"})
        if docker.daemon.has_image(one.image):
            docker.daemon.json("DELETE", f"/images/{one.image}", {"force": "1"})


def says(docker: DockerHarness, image: str) -> TaskSpec:
    return docker.shell("echo pulled", image=image)


def test_an_image_is_pulled_once_for_all_who_want_it(docker: DockerHarness, registry: Callable[..., Registry]) -> None:
    place = registry()
    launches = [launch_of(says(docker, place.image)) for _ in range(3)]
    docker.engine.launch(launches)
    for launch in launches:
        assert isinstance(wait_for_end(docker, launch.attempt_id), Exited)
        assert docker.words(launch.attempt_id) == ["pulled"]
    assert place.layers_given() == 1
    asked = len(place.asked)
    assert isinstance(run_to_end(docker, says(docker, place.image)), Exited)
    assert len(place.asked) == asked, "what is there is not asked for again"


def test_a_private_image_needs_credentials(docker: DockerHarness, registry: Callable[..., Registry]) -> None:
    place = registry(PASSWORD)
    final = run_to_end(docker, says(docker, place.image))
    assert isinstance(final, NotStarted)
    assert final.reason.startswith("CannotPullContainerError: ")
    assert "credentials" in final.reason or "denied" in final.reason or "unauthorized" in final.reason
    config = {"auths": {place.host: {"auth": auth("reader", PASSWORD)}}}
    (docker.root / ".docker").mkdir()
    (docker.root / ".docker" / "config.json").write_text(json.dumps(config))
    assert isinstance(run_to_end(docker, says(docker, place.image)), Exited)


def test_a_jobs_own_credentials_are_used(docker: DockerHarness, registry: Callable[..., Registry]) -> None:
    place = registry(PASSWORD)
    credentials = (("default", "reader", PASSWORD),)
    launch = Launch(AttemptNode("5" * 32), 1, says(docker, place.image), (), registry_credentials=credentials)
    docker.engine.launch([launch])
    assert isinstance(wait_for_end(docker, launch.attempt_id), Exited)
    found = json.dumps(docker.inspect(f"batchyard-{launch.attempt_id}"))
    assert PASSWORD not in found
    assert PASSWORD.encode() not in (docker.state_dir / "docker" / "notes").read_bytes()


def test_an_image_that_is_not_there_is_told(docker: DockerHarness, registry: Callable[..., Registry]) -> None:
    place = registry()
    final = run_to_end(docker, says(docker, f"{place.image}-other"))
    assert isinstance(final, NotStarted)
    assert final.reason.startswith("CannotPullContainerError: Error response from daemon: ")
    assert final.exit_code is None


def test_a_stop_ends_the_wait_for_an_image(docker: DockerHarness, registry: Callable[..., Registry]) -> None:
    place = registry()
    place.gate.clear()
    launch = launch_of(says(docker, place.image))
    docker.engine.launch([launch])
    docker.until(lambda: place.layers_given())
    assert docker.reports == [], "a job whose image is being pulled is STARTING"
    docker.engine.stop(launch.attempt_node, 30)
    final = wait_for_end(docker, launch.attempt_id)
    assert isinstance(final, NotStarted)
    assert final.exit_code is None
