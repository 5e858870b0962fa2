"""AWS Batch: compute environments, job queues, scheduling policies, job definitions, jobs, and what is around
service jobs."""

from __future__ import annotations

from batchyard.api.batch import (
    definitions,
    environments,
    job_lists,
    jobs,
    policies,
    queues,
    service_environments,
    service_job_lists,
    service_jobs,
    tags,
)
from batchyard.api.model_checks import enum_check
from batchyard.api.service_descriptor import ServiceDescriptor

SERVICE = ServiceDescriptor(
    name="batch",
    title="AWS Batch",
    is_announced=True,
    is_model_whole=True,
    compile_check=enum_check,
    listed_by_names={
        "DescribeComputeEnvironments": "computeEnvironments",
        "DescribeJobQueues": "jobQueues",
        "DescribeJobDefinitions": "jobDefinitions",
        "DescribeServiceEnvironments": "serviceEnvironments",
    },
    operations={
        "CreateComputeEnvironment": environments.create_compute_environment,
        "UpdateComputeEnvironment": environments.update_compute_environment,
        "DeleteComputeEnvironment": environments.delete_compute_environment,
        "DescribeComputeEnvironments": environments.describe_compute_environments,
        "CreateJobQueue": queues.create_job_queue,
        "UpdateJobQueue": queues.update_job_queue,
        "DeleteJobQueue": queues.delete_job_queue,
        "DescribeJobQueues": queues.describe_job_queues,
        "GetJobQueueSnapshot": queues.get_job_queue_snapshot,
        "CreateSchedulingPolicy": policies.create_scheduling_policy,
        "UpdateSchedulingPolicy": policies.update_scheduling_policy,
        "DeleteSchedulingPolicy": policies.delete_scheduling_policy,
        "DescribeSchedulingPolicies": policies.describe_scheduling_policies,
        "ListSchedulingPolicies": policies.list_scheduling_policies,
        "RegisterJobDefinition": definitions.register_job_definition,
        "DeregisterJobDefinition": definitions.deregister_job_definition,
        "DescribeJobDefinitions": definitions.describe_job_definitions,
        "SubmitJob": jobs.submit_job,
        "DescribeJobs": jobs.describe_jobs,
        "ListJobs": job_lists.list_jobs,
        "CancelJob": jobs.cancel_job,
        "TerminateJob": jobs.terminate_job,
        "CancelJobs": jobs.cancel_jobs,
        "TerminateJobs": jobs.terminate_jobs,
        "CreateServiceEnvironment": service_environments.create_service_environment,
        "UpdateServiceEnvironment": service_environments.update_service_environment,
        "DeleteServiceEnvironment": service_environments.delete_service_environment,
        "DescribeServiceEnvironments": service_environments.describe_service_environments,
        "SubmitServiceJob": service_jobs.submit_service_job,
        "DescribeServiceJob": service_jobs.describe_service_job,
        "ListServiceJobs": service_job_lists.list_service_jobs,
        "UpdateServiceJob": service_jobs.update_service_job,
        "TerminateServiceJob": service_jobs.terminate_service_job,
        "TerminateServiceJobs": service_jobs.terminate_service_jobs,
        "TagResource": tags.tag_resource,
        "UntagResource": tags.untag_resource,
        "ListTagsForResource": tags.list_tags_for_resource,
    },
)
