"""The kinds of documents that hold what is around service jobs."""

from batchyard.core.model.documents import register
from batchyard.core.model.service_records import QuotaShare, ServiceEnvironment, ServiceJob

SERVICE_ENVIRONMENT = register("service-environment", ServiceEnvironment)
SERVICE_JOB = register("service-job", ServiceJob)
QUOTA_SHARE = register("quota-share", QuotaShare)
