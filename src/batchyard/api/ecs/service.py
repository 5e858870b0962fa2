"""ECS: the tasks, container instances and clusters behind AWS Batch."""

from __future__ import annotations

from batchyard.api.ecs import clusters, container_instances, tasks
from batchyard.api.service_descriptor import ServiceDescriptor

SERVICE = ServiceDescriptor(
    name="ecs",
    title="ECS",
    invalid_code="InvalidParameterException",
    operations={
        "DescribeTasks": tasks.describe_tasks,
        "ListTasks": tasks.list_tasks,
        "DescribeContainerInstances": container_instances.describe_container_instances,
        "ListContainerInstances": container_instances.list_container_instances,
        "DescribeClusters": clusters.describe_clusters,
        "ListClusters": clusters.list_clusters,
    },
)
