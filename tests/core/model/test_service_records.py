"""Records around service jobs are stored as documents."""

from msgspec.structs import replace

from batchyard.core.model.records import State, Status
from batchyard.core.model.service_records import (
    NOT_HERE,
    SAGEMAKER_TRAINING,
    QuotaShare,
    ServiceEnvironment,
    ServiceJob,
    quota_share_path,
)
from batchyard.core.service_jobs.document_kinds import QUOTA_SHARE, SERVICE_ENVIRONMENT, SERVICE_JOB
from batchyard.store.codec import decode_document, encode

ENVIRONMENT = ServiceEnvironment(
    name="training",
    type=SAGEMAKER_TRAINING,
    state=State.DISABLED,
    capacity_limits=({"maxCapacity": 4, "capacityUnit": "NUM_INSTANCES"},),
    tags={"a": "b"},
    created_at_ms=7,
)


def test_a_service_environment_comes_back_from_its_document() -> None:
    assert decode_document(SERVICE_ENVIRONMENT, encode(ENVIRONMENT)) == ENVIRONMENT


JOB = ServiceJob(
    job_id="id",
    name="train",
    queue="training",
    type=SAGEMAKER_TRAINING,
    document={"serviceRequestPayload": "{}"},
    tags={},
    created_at_ms=7,
    scheduling_priority=0,
)


def test_a_service_job_comes_back_from_its_document() -> None:
    assert decode_document(SERVICE_JOB, encode(JOB)) == JOB


def test_a_service_job_waits_until_it_is_ended() -> None:
    assert (JOB.status, JOB.status_reason) == (Status.RUNNABLE, NOT_HERE)
    ended = replace(JOB, stopped_at_ms=9, end_reason="enough")
    assert (ended.status, ended.status_reason) == (Status.FAILED, "enough")


SHARE = QuotaShare(
    name="team",
    queue="training",
    state=State.ENABLED,
    capacity_limits=({"maxCapacity": 4, "capacityUnit": "ml.g5.xlarge"},),
    sharing={"strategy": "LEND"},
    preemption={"inSharePreemption": "DISABLED"},
    tags={},
    created_at_ms=7,
)


def test_a_quota_share_comes_back_from_its_document() -> None:
    assert decode_document(QUOTA_SHARE, encode(SHARE)) == SHARE
    assert SHARE.path == quota_share_path("training", "team") == "training/team"
