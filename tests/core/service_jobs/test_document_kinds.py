"""The stored names of the documents around service jobs never change."""

import pytest
from msgspec import Struct

from batchyard.core.model import documents
from batchyard.core.model.service_records import QuotaShare, ServiceEnvironment, ServiceJob
from batchyard.core.service_jobs.document_kinds import QUOTA_SHARE, SERVICE_ENVIRONMENT, SERVICE_JOB


@pytest.mark.parametrize(
    ("kind", "name", "record"),
    [
        (SERVICE_ENVIRONMENT, "service-environment", ServiceEnvironment),
        (SERVICE_JOB, "service-job", ServiceJob),
        (QUOTA_SHARE, "quota-share", QuotaShare),
    ],
)
def test_the_kinds_and_what_they_hold(kind: str, name: str, record: type[Struct]) -> None:
    assert (kind, documents.record_type(kind)) == (name, record)
