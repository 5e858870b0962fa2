"""ARNs, job ids and task ids: each is formatted and parsed back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.core.model import names
from batchyard.core.model.names import Account, JobId

ACCOUNT = Account("123456789012", "eu-west-1")
UUID = "00000000-0000-4000-8000-000000000001"


def test_arns_have_the_parts_of_the_account() -> None:
    assert ACCOUNT.queue_arn("work") == "arn:aws:batch:eu-west-1:123456789012:job-queue/work"
    assert ACCOUNT.definition_arn("work", 3) == "arn:aws:batch:eu-west-1:123456789012:job-definition/work:3"
    assert ACCOUNT.secret_arn("db", "AbCdEf") == "arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-AbCdEf"
    assert ACCOUNT.parameter_arn("/a/b") == "arn:aws:ssm:eu-west-1:123456789012:parameter/a/b"
    assert Account("1", "cn-north-1", "aws-cn").job_arn("x") == "arn:aws-cn:batch:cn-north-1:1:job/x"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("work", "work"),
        (ACCOUNT.queue_arn("work"), "work"),
        (ACCOUNT.environment_arn("work"), ACCOUNT.environment_arn("work")),  # another kind
        ("arn:aws:batch:job-queue/work", "arn:aws:batch:job-queue/work"),  # parts are missing
    ],
)
def test_the_name_in_an_arn(text: str, name: str) -> None:
    assert names.resource_name(text, "job-queue") == name


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        (UUID, JobId(UUID)),
        (f"{UUID}:7", JobId(UUID, index=7)),
        (f"{UUID}#2", JobId(UUID, node=2)),
        (ACCOUNT.job_arn(f"{UUID}:7"), JobId(UUID, index=7)),
        (f"{UUID}:07", JobId(f"{UUID}:07")),
        (f"{UUID}:x", JobId(f"{UUID}:x")),
        (f"{UUID}:", JobId(f"{UUID}:")),
    ],
)
def test_a_job_id_is_taken_apart(text: str, parsed: JobId) -> None:
    assert names.parse_job_id(text) == parsed


@given(st.integers(0, 10_000))
def test_a_child_s_id_is_parsed_back(index: int) -> None:
    assert names.parse_job_id(names.child_id(UUID, index)) == JobId(UUID, index=index)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("work", ("work", None)),
        ("work:12", ("work", 12)),
        (ACCOUNT.definition_arn("work", 12), ("work", 12)),
        ("work:latest", ("work:latest", None)),
        ("work:1234567890", ("work:1234567890", None)),
    ],
)
def test_a_definition_and_its_revision(text: str, parsed: tuple[str, int | None]) -> None:
    assert names.split_definition(text) == parsed


@given(st.integers(0, (1 << names.KEY_BITS) - 1), st.integers(1, 15))
def test_a_task_id_is_parsed_back(key: int, number: int) -> None:
    text = names.task_id(key, number, UUID)
    assert len(text) == 32
    assert names.parse_task_id(text) == (key, number)
    assert names.task_id(key, number, UUID.replace("1", "2")) != text, "another job's attempt has another id"


def test_what_is_no_task_id() -> None:
    assert names.parse_task_id("0" * 31) is None
    assert names.parse_task_id("G" * 32) is None


@pytest.mark.parametrize("number", [0, 16])
def test_an_attempt_out_of_bounds_has_no_task_id(number: int) -> None:
    with pytest.raises(AssertionError, match="does not fit a task id"):
        names.task_id(1, number, UUID)


def test_ids_that_derive_from_others() -> None:
    task = names.task_id(1, 1, UUID)
    assert names.log_stream("work", task) == f"work/default/{task}"
    assert names.container_uuid(task).replace("-", "") == task
    assert names.container_uuid(task, "sidecar").replace("-", "") != task
    instance = names.instance_id("uuid", 1)
    assert instance.startswith("i-")
    assert len(instance) == 19
    assert instance != names.instance_id("uuid", 2)
    assert len(names.container_instance_id(instance)) == 32


@pytest.mark.parametrize("parent_key", [1, 7, 2**40])
def test_the_keys_of_an_arrays_children_follow_its_own(parent_key: int) -> None:
    assert [names.child_key(parent_key, index) for index in range(3)] == [
        parent_key + 1,
        parent_key + 2,
        parent_key + 3,
    ]


def test_a_childs_index_is_found_from_its_key() -> None:
    assert [names.child_index(7, names.child_key(7, index)) for index in (0, 1, 9_999)] == [0, 1, 9_999]
