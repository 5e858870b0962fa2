"""SSM Parameter Store: the parameters that jobs refer to."""

from __future__ import annotations

from batchyard.api.service_descriptor import ServiceDescriptor
from batchyard.api.ssm import parameters

SERVICE = ServiceDescriptor(
    name="ssm",
    title="SSM Parameter Store",
    invalid_code="ValidationException",
    token_code="InvalidNextToken",
    operations={
        "PutParameter": parameters.put_parameter,
        "GetParameter": parameters.get_parameter,
        "GetParameters": parameters.get_parameters,
        "DescribeParameters": parameters.describe_parameters,
        "DeleteParameter": parameters.delete_parameter,
        "ListTagsForResource": parameters.list_tags_for_resource,
        "AddTagsToResource": parameters.add_tags_to_resource,
        "RemoveTagsFromResource": parameters.remove_tags_from_resource,
    },
)
