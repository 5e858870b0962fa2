"""The table [efs]: read, looked at by doctor, and used by jobs."""

from pathlib import Path

import pytest

from batchyard.core.state.world import Limits
from batchyard.server.admin import settings_checks
from batchyard.server.settings.config import SettingError, load
from tests.api.service import Service, container, refusal_of


def configured(tmp_path: Path, text: str) -> tuple[tuple[str, str], ...]:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return load({}, {}, path).efs


def test_directories_are_read_from_the_file(tmp_path: Path) -> None:
    text = '[efs]\n"fs-0abc" = "/srv/shared"\nfsap-1 = "own"\n'
    assert configured(tmp_path, text) == (("fs-0abc", "/srv/shared"), ("fsap-1", str(tmp_path / "own")))
    assert configured(tmp_path, "") == ()


@pytest.mark.parametrize("text", ["efs = 1", '[efs]\nshared = "/a"', '[efs]\n"fs-1" = 1', '[efs]\n"fs-1" = ""'])
def test_other_lines_are_refused_with_an_example(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingError, match='"fs-0123456789abcdef0" = "/srv/shared"'):
        configured(tmp_path, text)


def test_doctor_looks_whether_they_are_there(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    path = tmp_path / "config.toml"
    path.write_text('[efs]\n"fs-1" = "there"\n"fs-2" = "missing"\n')
    found = list(settings_checks.check_efs(load({}, {}, path)))
    assert [finding.ok for finding in found] == [True, False]
    assert "there is no such directory" in found[1].detail
    assert found[1].remedy.startswith(f"Create {tmp_path}/missing, or")


def test_a_process_sees_the_directory_at_its_own_path_only(tmp_path: Path) -> None:
    service = Service(tmp_path)
    service.machine.world.limits = Limits(file_systems={"fs-1": "/srv/shared"})
    service.make_queue()

    def register(path: str, file_system: str = "fs-1", root: str = "/data") -> str:
        volume = {"name": "v", "efsVolumeConfiguration": {"fileSystemId": file_system, "rootDirectory": root}}
        points = [{"sourceVolume": "v", "containerPath": path}]
        return service.register("efs", containerProperties=container(volumes=[volume], mountPoints=points))

    job_id = service.submit(register("/srv/shared/data"))
    (mount,) = service.launched[job_id].task.mounts
    assert (mount.source, mount.target, mount.root) == ("/srv/shared/data", "/srv/shared/data", "/srv/shared")
    shown = service.detail(job_id)["container"]["volumes"]
    assert shown == [{"name": "v", "efsVolumeConfiguration": {"fileSystemId": "fs-1", "rootDirectory": "/data"}}]
    message = refusal_of(lambda: service.submit(register("/data")))
    assert "'/srv/shared/data' can be seen at the same path only" in message
    assert "[efs]" in refusal_of(lambda: service.submit(register("/data", "fs-2")))
    assert "must not hold '..'" in refusal_of(lambda: service.submit(register("/data", root="/../etc")))
    service.close()
