"""ECS: the tasks, container instances and clusters behind AWS Batch."""

from __future__ import annotations

from batchyard.api.ecs import tasks
from batchyard.api.service_descriptor import ServiceDescriptor

SERVICE = ServiceDescriptor(
    name="ecs",
    title="ECS",
    endpoint_variable="AWS_ENDPOINT_URL_ECS",
    invalid_code="InvalidParameterException",
    bad_token_code="InvalidParameterException",
    operations={
        "DescribeTasks": tasks.describe_tasks,
        "ListTasks": tasks.list_tasks,
        "DescribeContainerInstances": tasks.describe_container_instances,
        "ListContainerInstances": tasks.list_container_instances,
        "DescribeClusters": tasks.describe_clusters,
        "ListClusters": tasks.list_clusters,
    },
)
