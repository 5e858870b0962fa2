"""STS: the identity of a request's signer."""

from __future__ import annotations

from batchyard.api.service_descriptor import ServiceDescriptor
from batchyard.api.sts import caller_identity

SERVICE = ServiceDescriptor(
    name="sts",
    title="STS",
    invalid_code="ValidationError",
    operations={
        "GetCallerIdentity": caller_identity.get_caller_identity,
    },
)
