"""Records around service jobs are stored as documents."""

from batchyard.core.model.records import State
from batchyard.core.model.service_records import SAGEMAKER_TRAINING, ServiceEnvironment
from batchyard.core.service_jobs.document_kinds import SERVICE_ENVIRONMENT
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
