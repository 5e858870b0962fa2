"""What jobs find in their environment, and the tokens of their metadata endpoint."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from batchyard.core.machine import Machine
from batchyard.core.model.attempt_node import AttemptNode
from batchyard.core.model.effects import LaunchTask
from batchyard.core.model.gpus import Gpu
from batchyard.core.model.names import Account
from batchyard.core.model.records import DEFAULT_CONTAINER, ContainerSpec, TaskSpec, containers_of
from batchyard.core.model.resources import Resources
from batchyard.engines.base import Launch
from batchyard.engines.gpu_probes import SeenGpu
from batchyard.engines.gpus import FoundGpus
from batchyard.server.access.metadata_tokens import Tokens, secret_of
from batchyard.server.launch.cipher import KeyFileCipher
from batchyard.server.launch.launch_builder import ENDPOINTS, WITHOUT_S3_KEYS, LaunchBuilder
from batchyard.server.launch.secret_resolver import Resolver
from batchyard.server.settings.offered_gpus import OfferedGpus
from batchyard.server.settings.paths import PathError
from batchyard.server.settings.s3 import S3

ATTEMPT = "0" * 31 + "1"


def effect(task: TaskSpec, spec_key: int = 1, *own: tuple[str, str]) -> LaunchTask:
    return LaunchTask("process", AttemptNode(ATTEMPT), spec_key, task, own, (0,), "job", "/group", "stream")


@pytest.mark.parametrize("named", [{}, {"TRACEPARENT": "own"}, {"TRACEPARENT": ""}])
def test_an_attempt_finds_its_span_unless_the_job_names_one(tmp_path: Path, named: dict[str, str]) -> None:
    task = TaskSpec(("true",), tuple(named.items()), Resources(1000, 64))
    launch = launch_builder_of(tmp_path)(replace(effect(task), trace_parent="00-a-b-01"))
    found = dict((*launch.task.environment, *launch.environment))
    assert found["TRACEPARENT"] == named.get("TRACEPARENT", "00-a-b-01")


def test_the_settings_may_name_the_span_of_all_jobs(tmp_path: Path) -> None:
    builder = launch_builder_of(tmp_path, ("TRACEPARENT", "settings"))
    launch = builder(replace(effect(TaskSpec(("true",), (), Resources(1000, 64))), trace_parent="00-a-b-01"))
    assert dict((*launch.task.environment, *launch.environment))["TRACEPARENT"] == "settings"


def launch_builder_of(directory: Path, *job_env: tuple[str, str]) -> LaunchBuilder:
    world = Machine(Account("123456789012", "us-east-1")).world
    resolver = Resolver(world, KeyFileCipher(directory / "secrets.key", directory / "data"))
    return LaunchBuilder(
        "http://127.0.0.1:1",
        "us-east-1",
        job_env,
        lambda attempt, container: f"tok-{attempt}{container}",
        resolver=resolver,
    )


def test_gpus_have_their_names(tmp_path: Path) -> None:
    gpus = tuple(Gpu(number, number, "NVIDIA", f"GPU-{number}") for number in (0, 1))
    offered = OfferedGpus(gpus, FoundGpus((SeenGpu(0, "NVIDIA", "GPU-0", "", 0),), "NVML"), None)
    build_launch = LaunchBuilder("http://127.0.0.1:1", "us-east-1", (), lambda attempt, container: "", gpus=offered)
    launch = build_launch(effect(TaskSpec(("true",), (), Resources(1000, 64, 1))))
    assert ([gpu.name for gpu in launch.assigned_gpus], launch.gpu_vendor) == (["GPU-0"], "NVIDIA")
    unnamed = launch_builder_of(tmp_path)(effect(TaskSpec(("true",), (), Resources(1000, 64, 1))))
    assert ([gpu.name for gpu in unnamed.assigned_gpus], unnamed.gpu_vendor) == (["0"], "")


def test_who_wins(tmp_path: Path) -> None:
    task = TaskSpec(("true",), (("B", "definition"), ("AWS_REGION", "definition")), Resources(1000, 64))
    build_launch = launch_builder_of(tmp_path, ("A", "settings"), ("B", "settings"))
    launch = build_launch(effect(task, 1, ("AWS_BATCH_JOB_ID", "job")))
    assert dict(launch.task.environment) == {
        "AWS_REGION": "definition",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_BATCH": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL_SECRETS_MANAGER": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL_SSM": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL_ECS": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:1",
        "AWS_EXECUTION_ENV": "AWS_ECS_EC2",
        "A": "settings",
        "B": "definition",
    } | dict.fromkeys(ENDPOINTS, "http://127.0.0.1:1")
    assert dict(launch.environment) == {
        "AWS_BATCH_JOB_ID": "job",
        "ECS_CONTAINER_METADATA_URI_V4": f"http://127.0.0.1:1/v4/tok-{ATTEMPT}",
    }
    assert (launch.attempt_id, launch.spec_key, launch.device_ids, launch.job_id) == (ATTEMPT, 1, (0,), "job")
    assert build_launch(effect(task)).task is launch.task
    other = TaskSpec(("false",), (), Resources(1000, 64))
    assert build_launch(effect(other)).task.command == ("false",)


def test_a_pod_names_variables_of_its_attempt(tmp_path: Path) -> None:
    build_launch = launch_builder_of(tmp_path)
    plain = TaskSpec(("$(AWS_BATCH_JOB_ID)",), (), Resources(1000, 64))
    task = replace(plain, is_pod=True)
    assert build_launch(effect(plain, 1, ("AWS_BATCH_JOB_ID", "a"))).task.command == plain.command
    first = build_launch(effect(task, 2, ("AWS_BATCH_JOB_ID", "a")))
    other = replace(effect(task, 2, ("AWS_BATCH_JOB_ID", "b")), attempt_node=AttemptNode("0" * 31 + "2"))
    second = build_launch(other)
    assert (first.task.command, second.task.command) == (("a",), ("b",))
    # Engines send the task of a key once: each has one of its own, which is no submission's.
    assert first.spec_key != second.spec_key
    assert max(first.spec_key, second.spec_key) < 0
    node = replace(other, attempt_node=AttemptNode(ATTEMPT, 1))
    assert build_launch(node).spec_key not in (first.spec_key, second.spec_key)
    unnamed = TaskSpec(("true",), (), Resources(1000, 64), is_pod=True)
    assert build_launch(effect(unnamed, 3)).spec_key == 3


def test_tokens_prove_their_attempt(tmp_path: Path) -> None:
    secret = secret_of(tmp_path / "secret")
    assert secret_of(tmp_path / "secret") == secret
    tokens = Tokens(secret)
    token = tokens.token(ATTEMPT)
    assert tokens.attempt_id(token) == ATTEMPT
    other = "0" * 31 + "2"
    for wrong in ("", ATTEMPT, f"{ATTEMPT}-", token[:-1], token + "0", other + token[32:], f"{ATTEMPT}-ü", "-" + token):
        assert tokens.attempt_id(wrong) is None
    assert Tokens(b"other").attempt_id(token) is None


def test_a_damaged_secret_is_said(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("zz")
    with pytest.raises(PathError, match="is damaged"):
        secret_of(tmp_path / "secret")


def test_a_secret_may_be_the_source_of_credentials_too(tmp_path: Path) -> None:
    def credentials(address: str, attempt_id: str) -> tuple[tuple[str, str], ...]:
        return (("AWS_CONTAINER_CREDENTIALS_FULL_URI", "uri"),)

    task = TaskSpec(("true",), (), Resources(1000, 64), secrets=(("AWS_CONTAINER_AUTHORIZATION_TOKEN", "none"),))
    resolver = Resolver(Machine(Account("1", "r")).world, KeyFileCipher(tmp_path / "secrets.key", tmp_path / "data"))
    launch = LaunchBuilder("http://127.0.0.1:1", "us-east-1", (), lambda a, c: a + c, credentials, resolver)(
        effect(task)
    )
    assert "AWS_CONTAINER_CREDENTIALS_FULL_URI" not in dict(launch.environment)
    assert "Parameter none not found" in launch.problem


@pytest.mark.parametrize(
    ("variable", "given"), [("A", True), ("AWS_ACCESS_KEY_ID", True), ("AWS_CONTAINER_CREDENTIALS_FULL_URI", False)]
)
def test_credentials_are_given_unless_the_job_names_a_source(variable: str, given: bool) -> None:
    def credentials(address: str, attempt_id: str) -> tuple[tuple[str, str], ...]:
        return (("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"uri/{attempt_id}"),)

    task = TaskSpec(("true",), ((variable, "own"),), Resources(1000, 64))
    launch = LaunchBuilder("http://127.0.0.1:1", "us-east-1", (), lambda a, c: a + c, credentials)(effect(task))
    own = dict(launch.environment).get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    assert own == (f"uri/{ATTEMPT}" if given else None)


def test_each_of_several_containers_gets_the_base_and_its_own_metadata_endpoint() -> None:
    containers = (ContainerSpec("a", environment=(("AWS_REGION", "mine"),)), ContainerSpec("b"))
    task = TaskSpec((), (), Resources(1000, 64), containers=containers)
    build_launch = LaunchBuilder("http://127.0.0.1:1", "us-east-1", (("A", "settings"),), lambda a, c: f"tok.{c}")
    launch = build_launch(effect(task, 1, ("AWS_BATCH_JOB_ID", "job")))
    first, second = (dict(one.environment) for one in launch.task.containers)
    assert (first["AWS_REGION"], second["AWS_REGION"], second["A"]) == ("mine", "us-east-1", "settings")
    assert launch.task.environment == ()
    assert launch.environment == (("AWS_BATCH_JOB_ID", "job"),)
    assert launch.container_environment == (
        ("a", "ECS_CONTAINER_METADATA_URI_V4", "http://127.0.0.1:1/v4/tok.a"),
        ("b", "ECS_CONTAINER_METADATA_URI_V4", "http://127.0.0.1:1/v4/tok.b"),
    )
    assert build_launch(effect(task)).task is launch.task


# -- networks --


def on_network(network: str, task: TaskSpec) -> Launch:
    def credentials(address: str, attempt_id: str) -> tuple[tuple[str, str], ...]:
        return (("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{address}/{attempt_id}"),)

    build_launch = LaunchBuilder(
        "http://127.0.0.1:1",
        "us-east-1",
        (("A", "settings"),),
        lambda attempt, container: f"tok{container}",
        credentials,
        s3=S3("http://s3:9000", KEYS),
        own_address=lambda address, attempt: f"{address}/session",
        bridge_address="http://169.254.170.2:2",
    )
    return build_launch(effect(replace(task, network=network)))


@pytest.mark.parametrize(
    ("network", "address"),
    [("", "http://127.0.0.1:1"), ("bridge", "http://169.254.170.2:2"), ("awsvpc", "http://169.254.170.2:2")],
)
def test_each_network_has_its_adlaunch_builder_of_the_service(network: str, address: str) -> None:
    launch = on_network(network, TaskSpec(("true",), (), Resources(1000, 64)))
    assert dict(launch.task.environment)["AWS_ENDPOINT_URL_BATCH"] == address
    own = dict(launch.environment)
    assert own["ECS_CONTAINER_METADATA_URI_V4"] == f"{address}/v4/tok"
    assert own["AWS_CONTAINER_CREDENTIALS_FULL_URI"] == f"{address}/{ATTEMPT}"
    assert own["AWS_ENDPOINT_URL_BATCH"] == f"{address}/session"
    several = on_network(network, TaskSpec((), (), Resources(1000, 64), containers=(ContainerSpec("a"),)))
    assert ("a", "ECS_CONTAINER_METADATA_URI_V4", f"{address}/v4/toka") in several.container_environment


@pytest.mark.parametrize("containers", [(), (ContainerSpec("a"),)])
def test_without_a_network_no_address_is_told(containers: tuple[ContainerSpec, ...]) -> None:
    launch = on_network("none", TaskSpec(("true",), (), Resources(1000, 64), containers=containers))
    environment = containers_of(launch.task)[0].environment
    assert {name for name, _ in environment} == {"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_EXECUTION_ENV", "A"}
    assert (launch.environment, launch.container_environment) == ((), ())


# -- the owner's S3 --

KEYS = ("S3KEY", "s3 secret")


def with_s3(*job_env: tuple[str, str], keys: tuple[str, str] | None = KEYS) -> LaunchBuilder:
    return LaunchBuilder(
        "http://127.0.0.1:1",
        "us-east-1",
        job_env,
        lambda attempt, container: "token",
        s3=S3("http://s3:9000", keys),
        own_address=lambda address, attempt: f"{address}/session/{attempt}",
    )


def test_every_job_is_told_of_s3_and_given_its_keys() -> None:
    launch = with_s3()(effect(TaskSpec(("true",), (), Resources(1000, 64))))
    assert dict(launch.task.environment)["AWS_ENDPOINT_URL_S3"] == "http://s3:9000"
    assert {(name, value) for _, name, value in launch.secrets} == {
        ("AWS_ACCESS_KEY_ID", KEYS[0]),
        ("AWS_SECRET_ACCESS_KEY", KEYS[1]),
    }
    assert {container for container, _, _ in launch.secrets} == {DEFAULT_CONTAINER}
    own = {name: value for name, value in launch.environment if name in ENDPOINTS}
    assert own == dict.fromkeys(ENDPOINTS, f"http://127.0.0.1:1/session/{ATTEMPT}")
    assert not any(KEYS[1] in str(part) for part in (launch.task, launch.environment, repr(launch)))


def test_without_keys_it_is_told_of_s3_alone() -> None:
    launch = with_s3(keys=None)(effect(TaskSpec(("true",), (), Resources(1000, 64))))
    assert dict(launch.task.environment)["AWS_ENDPOINT_URL_S3"] == "http://s3:9000"
    assert launch.secrets == ()
    assert dict(launch.task.environment)["AWS_ENDPOINT_URL_BATCH"] == "http://127.0.0.1:1"
    assert not [name for name, _ in launch.environment if name in ENDPOINTS]


@pytest.mark.parametrize("name", sorted(WITHOUT_S3_KEYS))
@pytest.mark.parametrize("source", ["definition", "settings"])
def test_who_brings_credentials_or_another_s3_gets_no_keys(name: str, source: str) -> None:
    task = TaskSpec(("true",), ((name, "own"),) if source == "definition" else (), Resources(1000, 64))
    launch = with_s3(*(((name, "own"),) if source == "settings" else ()))(effect(task))
    assert launch.secrets == ()
    assert dict(launch.task.environment)[name] == "own"
    assert not [each for each, _ in launch.environment if each in ENDPOINTS]


def test_an_endpoint_of_the_jobs_own_stays() -> None:
    task = TaskSpec(("true",), (("AWS_ENDPOINT_URL_SSM", "https://ssm.aws"),), Resources(1000, 64))
    launch = with_s3()(effect(task))
    assert dict(launch.task.environment)["AWS_ENDPOINT_URL_SSM"] == "https://ssm.aws"
    assert "AWS_ENDPOINT_URL_SSM" not in dict(launch.environment)
    assert dict(launch.environment)["AWS_ENDPOINT_URL_BATCH"].endswith(ATTEMPT)


def test_each_of_several_containers_signs_for_itself() -> None:
    def container(name: str, *environment: tuple[str, str]) -> ContainerSpec:
        return ContainerSpec(name, ("true",), environment, Resources(1000, 64))

    containers = (container("main"), container("other", ("AWS_PROFILE", "own")))
    launch = with_s3()(effect(TaskSpec((), (), Resources(2000, 128), containers=containers)))
    assert {name for name, _, _ in launch.secrets} == {"main"}
    given = [(name, variable) for name, variable, _ in launch.container_environment if variable in ENDPOINTS]
    assert given == [("main", variable) for variable in ENDPOINTS]
