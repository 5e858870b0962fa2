"""Which directory a volume of EFS means."""

from typing import Any

import pytest

from batchyard.core.model.refusal import Refused
from batchyard.core.tasks.filesystems import mount_source

DIRECTORIES = {"fs-1": "/srv/shared", "fs-2": "/", "fsap-own": "/srv/own"}


def efs(file_system: str = "fs-1", point: str = "", **members: Any) -> dict[str, Any]:
    authorization = {"authorizationConfig": {"accessPointId": point}} if point else {}
    return {"name": "v", "efsVolumeConfiguration": {"fileSystemId": file_system} | authorization | members}


@pytest.mark.parametrize(
    ("volume", "place"),
    [
        ({"name": "v"}, ("", "")),
        ({"name": "v", "host": {"sourcePath": "/a"}}, ("/a", "")),
        (efs(), ("/srv/shared", "/srv/shared")),
        (efs(rootDirectory="/"), ("/srv/shared", "/srv/shared")),
        (efs(rootDirectory="/a//./b/"), ("/srv/shared/a/b", "/srv/shared")),
        (efs(rootDirectory="a"), ("/srv/shared/a", "/srv/shared")),
        (efs("fs-2"), ("/", "/")),
        (efs("fs-2", rootDirectory="/a"), ("/a", "/")),
        (efs(point="fsap-1"), ("/srv/shared/fsap-1", "/srv/shared/fsap-1")),
        (efs(point="fsap-own"), ("/srv/own", "/srv/own")),
        (efs("fs-unmapped", point="fsap-own"), ("/srv/own", "/srv/own")),
    ],
    ids=str,
)
def test_a_volume_has_its_place(volume: dict[str, Any], place: tuple[str, str]) -> None:
    assert mount_source(volume, DIRECTORIES) == place


@pytest.mark.parametrize("root", ["..", "/..", "/a/../../etc", "a/.."])
def test_no_root_directory_leads_up(root: str) -> None:
    with pytest.raises(Refused, match=r"must not hold '\.\.'"):
        mount_source(efs(rootDirectory=root), DIRECTORIES)


@pytest.mark.parametrize("point", ["..", "fsap-", "fsap-1/../..", "a/b"])
def test_an_access_point_is_no_path(point: str) -> None:
    with pytest.raises(Refused, match="is not valid"):
        mount_source(efs(point=point), DIRECTORIES)


def test_what_nobody_mapped_is_refused_with_the_remedy() -> None:
    with pytest.raises(Refused) as caught:
        mount_source(efs("fs-9"), DIRECTORIES)
    assert caught.value.message == (
        "The volume 'v' is on the file system fs-9, and no directory of this machine is configured for that. Name one "
        'in the configuration file: [efs], then "fs-9" = "/srv/shared", and restart the service.'
    )
