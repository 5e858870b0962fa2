"""A directory beneath another is looked at without following links."""

from pathlib import Path

import pytest

from batchyard.core.model.records import Mount
from batchyard.core.model.reports import NotStarted
from batchyard.engines.docker.path_containment import containment_problem
from tests.engines.conformance import run_to_end
from tests.engines.docker_harness import DockerHarness


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """`shared/in/deep`, links out of it and a file; `link` is another name of the whole."""
    root = tmp_path / "shared"
    (root / "in" / "deep").mkdir(parents=True)
    (root / "file").write_text("")
    (root / "out").symlink_to(tmp_path)
    (root / "round").symlink_to("in")
    (tmp_path / "link").symlink_to(root)
    return root


@pytest.mark.parametrize("path", ["", "in", "in/deep"])
def test_directories_are_found(shared: Path, path: str) -> None:
    assert containment_problem(str(shared), str(shared / path)) == ""


def test_the_root_itself_may_be_a_link_since_its_owner_named_it(shared: Path) -> None:
    link = shared.parent / "link"
    assert containment_problem(str(link), str(link / "in")) == ""


@pytest.mark.parametrize("path", ["out", "out/shared", "round", "round/deep", "file", "none", "in/none"])
def test_links_files_and_nothing_are_refused(shared: Path, path: str) -> None:
    assert "is no directory of the file system" in containment_problem(str(shared), str(shared / path))


def test_a_root_that_is_not_there_is_named(shared: Path) -> None:
    assert "can't be opened: No such file" in containment_problem(str(shared / "none"), str(shared / "none"))


def test_a_container_gets_the_directory_and_no_way_out_of_it(docker: DockerHarness, shared: Path) -> None:
    (shared / "in" / "x").write_text("shared\n")
    shared.chmod(0o755)
    inside = docker.shell("cat /data/x", mounts=(Mount(str(shared / "in"), "/data", root=str(shared)),))
    assert docker.words(run_to_end(docker, inside).attempt_id) == ["shared"]
    outside = docker.shell("ls /data", mounts=(Mount(str(shared / "out"), "/data", root=str(shared)),))
    final = run_to_end(docker, outside)
    assert isinstance(final, NotStarted), final
    assert final.reason.startswith("ResourceInitializationError: ")
    assert "links are not followed" in final.reason
    missing = docker.shell("ls /data", mounts=(Mount(str(shared / "new"), "/data", root=str(shared)),))
    assert isinstance(run_to_end(docker, missing), NotStarted)
    assert not (shared / "new").exists(), "Docker made what is missing"
