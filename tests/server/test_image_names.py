"""The table [images]: read, shown by doctor, and used for what engines run; what callers see stays as they wrote it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.core.model.attempt_node import AttemptNode
from batchyard.core.model.effects import LaunchTask
from batchyard.core.model.records import ContainerSpec, TaskSpec
from batchyard.core.model.resources import Resources
from batchyard.engines.base import Launch
from batchyard.server.admin import settings_checks
from batchyard.server.launch.launch_builder import LaunchBuilder
from batchyard.server.settings.config import SettingError, load
from batchyard.server.settings.image_names import ImageLine, ImageNames

ECR = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
TEXT = f"""
[images]
"*.dkr.ecr.*.amazonaws.com/*" = "localhost:5000/*"
"mpi:latest" = "local/mpi:5"

[images.docker]
"{ECR}/gpu/*" = "nvidia/*"
"""


def configured(tmp_path: Path, text: str) -> tuple[ImageLine, ...]:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return load({}, {}, path).images


@pytest.mark.parametrize(
    ("engine", "image", "expected"),
    [
        ("docker", f"{ECR}/tool:1.2", "localhost:5000/tool:1.2"),
        ("docker", f"{ECR}/gpu/cuda:12", "nvidia/cuda:12"),
        ("process", f"{ECR}/gpu/cuda:12", "localhost:5000/gpu/cuda:12"),
        ("docker", "mpi:latest", "local/mpi:5"),
        ("docker", "mpi:latest2", "mpi:latest2"),
        ("docker", "busybox", "busybox"),
    ],
)
def test_the_first_line_that_matches_names_the_image(tmp_path: Path, engine: str, image: str, expected: str) -> None:
    found, line = ImageNames(configured(tmp_path, TEXT)).find(engine, image)
    assert found == expected
    assert (line is None) == (image == expected)


@given(st.text("ab*", min_size=1, max_size=7), st.text("ab", max_size=9))
def test_a_pattern_matches_what_the_same_regular_expression_does(pattern: str, image: str) -> None:
    wanted = re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), image) is not None
    found = ImageLine("", pattern, pattern).apply(image)
    assert (found is not None) == wanted
    assert found in (None, image), "with the pattern itself as replacement each star gives back what it took"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("images = 1", "must be a table with lines such as"),
        ('[images]\n"a" = 1', "a must be a line such as"),
        ('[images]\n"a" = ""', "a must be a line such as"),
        ('[images]\n"a b" = "c"', "a b must be a line such as"),
        ('[images]\n"a" = "*"', "has more stars than its pattern a"),
        ('[images.podman]\n"a" = "b"', "there is no engine podman. There are: docker, process."),
    ],
)
def test_other_lines_are_refused(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(SettingError, match=re.escape(problem)):
        configured(tmp_path, text)


def test_doctor_shows_each_line(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(TEXT)
    found = [finding.detail for finding in settings_checks.list_images(load({}, {}, tmp_path / "config.toml"))]
    assert found[0] == f"{ECR}/gpu/* is nvidia/* on docker"
    assert found[-1] == "mpi:latest is local/mpi:5"


def test_an_engine_gets_the_other_image_and_why(tmp_path: Path) -> None:
    build_launch = LaunchBuilder(
        "http://127.0.0.1:1",
        "us-east-1",
        (),
        lambda attempt, container: "token",
        images=ImageNames(configured(tmp_path, TEXT)),
    )

    def launched(engine: str, task: TaskSpec) -> Launch:
        return build_launch(LaunchTask(engine, AttemptNode("1" * 32), 1, task, (), (), "job", "/group", "stream"))

    why = "the line '*.dkr.ecr.*.amazonaws.com/*' of [images]"
    plain = TaskSpec((), (), Resources(1000, 64), image=f"{ECR}/gpu/tool:1")
    assert launched("process", plain).task.image == "localhost:5000/gpu/tool:1"
    assert launched("process", plain).replaced_images == (("default", f"{ECR}/gpu/tool:1", why),)
    assert launched("docker", plain).task.image == "nvidia/tool:1", "each engine has its own lines"
    several = TaskSpec(
        (),
        (),
        Resources(1000, 64),
        containers=tuple(
            ContainerSpec(name, (), (), Resources(), image=image)
            for name, image in (
                ("one", "busybox"),
                ("two", f"{ECR}/tool"),
            )
        ),
    )
    launch = launched("docker", several)
    assert [one.image for one in launch.task.containers] == ["busybox", "localhost:5000/tool"]
    assert launch.replaced_images == (("two", f"{ECR}/tool", why),)
