"""Secrets Manager: the secrets that jobs refer to."""

from __future__ import annotations

from batchyard.api.secretsmanager import secrets
from batchyard.api.service_descriptor import ServiceDescriptor

SERVICE = ServiceDescriptor(
    name="secretsmanager",
    title="Secrets Manager",
    invalid_code="InvalidParameterException",
    token_code="InvalidNextTokenException",
    operations={
        "CreateSecret": secrets.create_secret,
        "PutSecretValue": secrets.put_secret_value,
        "GetSecretValue": secrets.get_secret_value,
        "DescribeSecret": secrets.describe_secret,
        "ListSecrets": secrets.list_secrets,
        "UpdateSecret": secrets.update_secret,
        "DeleteSecret": secrets.delete_secret,
        "RestoreSecret": secrets.restore_secret,
        "GetResourcePolicy": secrets.get_resource_policy,
        "TagResource": secrets.tag_resource,
        "UntagResource": secrets.untag_resource,
    },
)
