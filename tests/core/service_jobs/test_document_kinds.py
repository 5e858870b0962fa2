"""The stored names of the documents around service jobs never change."""

from batchyard.core.model import documents
from batchyard.core.model.service_records import ServiceEnvironment
from batchyard.core.service_jobs.document_kinds import SERVICE_ENVIRONMENT


def test_the_kinds_and_what_they_hold() -> None:
    assert (SERVICE_ENVIRONMENT, documents.record_type(SERVICE_ENVIRONMENT)) == (
        "service-environment",
        ServiceEnvironment,
    )
