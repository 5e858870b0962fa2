"""Definition, overrides and parameters become what runs; what can't be done is refused in words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from batchyard.core.model import commands as c
from batchyard.core.model.commands import CheckStage, DeferredError
from batchyard.core.model.records import Abilities
from batchyard.core.model.refusal import Refused
from batchyard.core.model.resources import Resources
from batchyard.core.tasks.requirements import resources_of
from batchyard.core.tasks.task_spec import (
    NETWORK_TAG,
    build_task,
    cannot_run,
    log_location,
    merge_container,
    network_of,
    substitute,
    unbuilt,
    wrong_platform,
)
from tests.core.driver import Driver


def needs(**amounts: str) -> list[dict[str, str]]:
    return [{"type": kind, "value": value} for kind, value in amounts.items()]


OLD = {"image": "i", "vcpus": 2, "memory": 100}
NEW = {"image": "i", "resourceRequirements": needs(VCPU="2", MEMORY="100", GPU="1")}


@pytest.mark.parametrize(
    ("properties", "overrides", "expected"),
    [
        (OLD, {}, Resources(2000, 100, 0)),
        (OLD, {"vcpus": 3, "memory": 50}, Resources(3000, 50, 0)),
        (OLD, {"resourceRequirements": needs(VCPU="4")}, Resources(4000, 100, 0)),
        (NEW, {"resourceRequirements": needs(MEMORY="7")}, Resources(2000, 7, 1)),
        (NEW, {"vcpus": 9, "memory": 900}, Resources(2000, 100, 1)),  # AWS ignores the deprecated ones there
    ],
)
def test_resources_are_merged_per_type(properties: Any, overrides: Any, expected: Resources) -> None:
    assert resources_of(merge_container(properties, overrides)) == expected


@pytest.mark.parametrize(
    ("needed", "text"),
    [
        (needs(VCPU="0.5", MEMORY="64"), "vCPU must be at least 1, got 0.5."),
        (needs(VCPU="1.5", MEMORY="64"), "vCPU must be a whole number, got 1.5."),
        (needs(VCPU="1", MEMORY="3"), "Memory must be at least 4 Mib, got 3 Mib."),
        (needs(VCPU="x", MEMORY="64"), "Value x for type VCPU in resourceRequirement is not valid"),
        (needs(VCPU="1", MEMORY="64", GPU="half"), "Value half for type GPU in resourceRequirement is not valid"),
        (needs(MEMORY="64"), "vCPU must be at least 1, got 0."),
    ],
)
def test_resources_that_make_no_sense_are_refused(needed: Any, text: str) -> None:
    with pytest.raises(Refused) as refusal:
        resources_of({"resourceRequirements": needed})
    assert refusal.value.message.startswith(text)


def test_fargate_may_ask_for_a_part_of_a_vcpu() -> None:
    assert resources_of({"resourceRequirements": needs(VCPU="0.25", MEMORY="512")}, fractions=True).milli_vcpus == 250


def test_environment_is_merged_by_name_and_command_replaced() -> None:
    base = {"command": ["a"], "environment": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}
    merged = merge_container(base, {"command": ["b"], "environment": [{"name": "B", "value": "3"}]})
    assert merged["command"] == ["b"]
    assert merged["environment"] == [{"name": "A", "value": "1"}, {"name": "B", "value": "3"}]
    assert base["environment"][1]["value"] == "2", "the definition itself was changed"


@given(st.dictionaries(st.from_regex(r"[A-Za-z0-9_-]{1,8}", fullmatch=True), st.text(max_size=20), max_size=5))
def test_every_reference_is_replaced_by_its_value(parameters: dict[str, str]) -> None:
    command = [f"--x=Ref::{name}" for name in parameters]
    assert substitute(command, parameters) == tuple(f"--x={value}" for value in parameters.values())


def test_a_value_that_looks_like_a_reference_is_left_alone() -> None:
    assert substitute(["Ref::a"], {"a": "Ref::b", "b": "no"}) == ("Ref::b",)


@pytest.mark.parametrize(
    ("options", "group", "prefix"),
    [
        ({}, "/aws/batch/job", "d" * 200),
        ({"awslogs-group": "/mine"}, "/mine", "d" * 200),
        ({"awslogs-stream-prefix": "batch"}, "/aws/batch/job", "batch"),
    ],
)
def test_where_the_log_goes(options: dict[str, str], group: str, prefix: str) -> None:
    place = log_location({"logConfiguration": {"logDriver": "awslogs", "options": options}}, "d" * 300)
    assert (place.group, place.prefix) == (group, prefix)


@pytest.mark.parametrize(
    ("container", "word"),
    [
        ({"logConfiguration": {"logDriver": "awsfirelens"}}, "awsfirelens"),
        ({"volumes": [{"name": "v", "s3filesVolumeConfiguration": {}}]}, "s3filesVolumeConfiguration"),
    ],
)
def test_what_is_not_built_has_a_name(container: Any, word: str) -> None:
    assert word in unbuilt(container)
    assert unbuilt({"image": "i", "logConfiguration": {"logDriver": "json-file"}}) == ""


def task_of(**members: Any) -> Any:
    return build_task({"command": ["true"], "resourceRequirements": needs(VCPU="1", MEMORY="64")} | members, {})


def mounted(path: str, read_only: bool = False) -> dict[str, Any]:
    return {
        "volumes": [{"name": "v", "host": {"sourcePath": "/data"}}],
        "mountPoints": [{"sourceVolume": "v", "containerPath": path, "readOnly": read_only}],
    }


def test_an_engine_without_mounts_can_show_a_directory_at_its_own_path_only() -> None:
    assert cannot_run(task_of(**mounted("/data")), "process", Abilities()) == ""
    assert "wants it at '/scratch'" in cannot_run(task_of(**mounted("/scratch")), "process", Abilities())
    assert "read-only" in cannot_run(task_of(**mounted("/data", read_only=True)), "process", Abilities())
    assert cannot_run(task_of(**mounted("/scratch")), "docker", Abilities(any_mount=True)) == ""


def test_a_mount_of_an_unknown_volume_is_refused() -> None:
    with pytest.raises(Refused, match="not among the volumes"):
        task_of(mountPoints=[{"sourceVolume": "nope", "containerPath": "/x"}])


def test_who_gets_several_things_wrong_is_told_in_the_order_of_aws() -> None:
    """Queue, definition, platform; size, array, dependencies; parameters; overrides; share; retries and timeout."""
    yard = Driver()
    yard.define("work", platformCapabilities=["FARGATE"], container={"command": ["Ref::who"]})
    yard.define("plain", container={"command": ["Ref::who"]})
    wrong = [
        DeferredError(CheckStage.SIZE, "size"),
        DeferredError(CheckStage.OVERRIDES, "overrides"),
        DeferredError(CheckStage.RULES, "rules"),
    ]
    steps: list[tuple[dict[str, Any], str]] = [
        ({"queue": "nowhere", "definition": "nothing"}, "JobQueue nowhere not found."),
        ({"definition": "nothing"}, "JobDefinition name nothing does not exist"),
        ({"definition": "work"}, "can not run Jobs with capability FARGATE"),
        ({}, "size"),
        ({"deferred": tuple(wrong[1:])}, "No parameter found for reference who"),
        ({"deferred": tuple(wrong[1:]), "parameters": {"who": "me"}}, "overrides"),
        ({"deferred": tuple(wrong[2:]), "parameters": {"who": "me"}}, "share"),
        ({"deferred": tuple(wrong[2:]), "parameters": {"who": "me"}, "share_identifier": ""}, "rules"),
    ]
    for changes, text in steps:
        members = {"queue": "default", "definition": "plain", "deferred": tuple(wrong), "share_identifier": "s"}
        with pytest.raises(Refused, match=text):
            yard.do(c.SubmitJob("id", "n", **(members | changes)))
    assert yard.kept.specs == {}


@pytest.mark.parametrize(
    ("platform", "machine", "words"),
    [
        ({}, "ARM64", ""),  # AWS would take X86_64; what was not asked is not compared
        ({"operatingSystemFamily": "LINUX"}, "ARM64", ""),
        ({"cpuArchitecture": "ARM64"}, "ARM64", ""),
        ({"cpuArchitecture": "ARM64"}, "", ""),  # nobody knows what the machine is
        ({"cpuArchitecture": "ARM64"}, "X86_64", "The job is for ARM64, and this machine is X86_64."),
        ({"cpuArchitecture": "X86_64"}, "RISCV64", "The job is for X86_64, and this machine is RISCV64."),
        (
            {"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE", "cpuArchitecture": "X86_64"},
            "X86_64",
            "The job is for WINDOWS_SERVER_2022_CORE, and this machine runs LINUX.",
        ),
    ],
)
def test_a_runtime_platform_is_compared_where_it_is_asked(platform: Any, machine: str, words: str) -> None:
    task = task_of(**({"runtimePlatform": platform} if platform else {}))
    assert wrong_platform(task, Abilities(architecture=machine)) == words


@pytest.mark.parametrize(
    ("job", "definition", "task", "expected"),
    [
        ({}, {}, {}, ""),
        ({}, {}, {"networkMode": "host"}, ""),
        ({}, {}, {"networkMode": "awsvpc"}, "awsvpc"),
        ({}, {NETWORK_TAG: "none"}, {"networkMode": "bridge"}, "none"),
        ({NETWORK_TAG: "host"}, {NETWORK_TAG: "none"}, {"networkMode": "bridge"}, ""),
    ],
)
def test_whose_network_counts(job: Any, definition: Any, task: Any, expected: str) -> None:
    assert network_of(job, definition, task) == expected


def test_a_network_that_there_is_not_is_refused() -> None:
    with pytest.raises(Refused, match="must be one of host, bridge, awsvpc, none, got mesh"):
        network_of({NETWORK_TAG: "mesh"}, {}, {})


def test_an_engine_without_networks_refuses_all_but_the_hosts() -> None:
    task = task_of()
    assert cannot_run(task, "process", Abilities()) == ""
    assert "can't do networkMode none (or the tag batchyard:network): remove it" in cannot_run(
        replace(task, network="none"), "process", Abilities()
    )
    assert cannot_run(replace(task, network="none"), "docker", Abilities(networks=True)) == ""


def test_other_log_drivers_are_for_engines_that_have_them() -> None:
    splunk = task_of(logConfiguration={"logDriver": "splunk"})
    assert "can't do the log driver splunk" in cannot_run(splunk, "process", Abilities())
    assert cannot_run(splunk, "docker", Abilities(log_drivers=True)) == ""
    for kept in ("awslogs", "json-file"):
        assert cannot_run(task_of(logConfiguration={"logDriver": kept}), "process", Abilities()) == ""
