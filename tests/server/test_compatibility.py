"""The compatibility page: every member has its line, and what is said to be refused is, for the reason given."""

import pytest
from msgspec.structs import fields

from batchyard.api.services import SERVICES
from batchyard.core.model.records import Abilities
from batchyard.docsgen import reference
from batchyard.docsgen.compatibility import ENGINES, MAIN_OPERATIONS, Requests, refusal, refusals
from batchyard.docsgen.compatibility_table import FIELDS, SAMPLES, Sample
from batchyard.engines.docker.engine import DockerEngine
from batchyard.engines.process import ProcessEngine
from batchyard.wire.model import load_service_model

BATCH = load_service_model("batch")
REQUESTS = Requests(BATCH)
PAGE = reference.documents()["compatibility.md"]
OWN_WORDS = {  # refusals that do not name the member
    "MountPoint.readOnly": "read-only",
    "EksContainerVolumeMount.readOnly": "read-only",
    "EksSeccompProfile.localhostProfile": "Localhost",
    "EksPodProperties.initContainers": "one container in a task",
    "EksPodProperties.shareProcessNamespace": "one container in a task",
}
EVERYTHING = Abilities(
    **{field.name: field.name != "needs_command" for field in fields(Abilities) if field.type in (bool, "bool")}
)


def test_every_member_of_the_main_requests_has_one_line() -> None:
    members = {f"{shape.name}.{member}" for shape in REQUESTS.shapes() for member in shape.members}
    lines = [f"{shape}.{member}" for shape, table in FIELDS.items() for names in table for member in names.split()]
    assert members - set(lines) == set(), "these are not in batchyard.docsgen.compatibility_table"
    assert set(lines) - members == set(), "these are not in the service model"
    assert len(lines) == len(set(lines)), "these have two lines"
    assert len(members) > 300


def test_every_sample_is_of_a_member() -> None:
    members = {f"{shape.name}.{member}" for shape in REQUESTS.shapes() for member in shape.members}
    assert SAMPLES.keys() - members == set()


# Whose members decide what runs: each is tried.
TRIED = ("ContainerProperties", "LinuxParameters", "LogConfiguration", "EcsTaskProperties", "TaskContainerProperties")


@pytest.mark.parametrize("shape", [*TRIED, "ContainerOverrides"])
def test_every_member_of_a_container_is_tried(shape: str) -> None:
    assert {f"{shape}.{member}" for member in BATCH.shapes[shape].members} - SAMPLES.keys() == set()


@pytest.mark.parametrize("path", SAMPLES)
def test_a_refusal_names_what_it_refuses(path: str) -> None:
    """Else the sample itself would be wrong, and the page would call something refused that is not."""
    sample = SAMPLES[path]
    # A body may be refused before any member of it is looked at.
    words = {path.partition(".")[2], OWN_WORDS.get(path, path), *sample.definition, *sample.submit}
    words |= {"ecsProperties"} if sample.task is not None else set()
    words |= {"one container in a task"} if sample.other else set()
    for engine, message in refusals(path).items():
        assert any(word in message for word in words - {"type"}), f"{engine}: {message}"


def test_an_engine_that_can_do_everything_refuses_nothing_for_its_own_sake() -> None:
    found = {path: refusal(sample, "any", EVERYTHING) for path, sample in SAMPLES.items()}
    assert [message for message in found.values() if "the any engine" in message] == []


def test_the_code_decides_who_refuses() -> None:
    tmpfs = SAMPLES["LinuxParameters.tmpfs"]
    assert "linuxParameters.tmpfs" in refusal(tmpfs, "process", ProcessEngine.abilities)
    assert refusal(tmpfs, "docker", DockerEngine.abilities) == ""
    assert refusal(Sample(container={}), "process", ProcessEngine.abilities) == ""
    assert refusal(Sample(container={"image": ""}), "process", EVERYTHING) == "ECS Container Image must be provided."


def test_what_leads_to_a_shape_decides_for_its_members() -> None:
    assert "process" in REQUESTS.refusing("Tmpfs"), "a tmpfs is refused, so its size is"
    assert REQUESTS.refusing("KeyValuePair") == set(), "variables come with every kind of container"
    assert REQUESTS.refusing("ContainerProperties") == set(), "of node ranges they are refused, of jobs not"
    assert REQUESTS.refusing("EksPersistentVolumeClaim") == set(ENGINES), "no engine has claims"
    assert "process" in REQUESTS.refusing("EksEmptyDir"), "its medium is refused with it"
    assert REQUESTS.refusing("EksMetadata") == set()


def test_the_page_names_every_operation_and_member() -> None:
    for service in SERVICES:
        for name in load_service_model(service).operations:
            assert name in PAGE
    for name in MAIN_OPERATIONS:
        assert f"\n## {name}\n" in PAGE
    for shape in REQUESTS.shapes():
        (section,) = [part for part in PAGE.split("\n### ") if part.startswith(f"{shape.name}\n")]
        for member in shape.members:
            assert f"| {member} |" in section or f" {member}," in section or f" {member}." in section, member


def test_a_line_says_what_each_engine_does() -> None:
    assert "| image | recorded | yes | On the process engine a job is a process of this machine. |" in PAGE
    assert "| tmpfs | refused | yes | the process engine can't do linuxParameters.tmpfs: " in PAGE
    assert "| s3filesVolumeConfiguration | refused | refused | Job definition example asks for the volume 'v'" in PAGE
    assert "| efsVolumeConfiguration | partly | partly | A directory of this machine" in PAGE
    assert "| size | refused | yes |  |" in PAGE
