"""This program's own service: what AWS has no operation for."""

from __future__ import annotations

from batchyard.api.model_checks import enum_check
from batchyard.api.service_descriptor import ServiceDescriptor
from batchyard.api.yard import (
    deliveries,
    explain,
    forecasts,
    hosts,
    job_times,
    overview,
    past,
    run_job,
    service_operations,
    usage,
)

SERVICE = ServiceDescriptor(
    name="yard",
    title="Batchyard's own",
    is_of_aws=False,
    compile_check=enum_check,
    operations={
        "CreateHostToken": hosts.create_host_token,
        "DescribeJobTimes": job_times.describe_job_times,
        "DrainHost": hosts.drain_host,
        "ExplainJob": explain.explain_job,
        "ForecastJobs": forecasts.forecast_jobs,
        "ForgetHost": hosts.forget_host,
        "ListHosts": hosts.list_hosts,
        "ListAttempts": usage.list_attempts,
        "ListDeliveries": deliveries.list_deliveries,
        "InterruptInstance": overview.interrupt_instance,
        "ListEnvironments": overview.list_environments,
        "ListInstances": overview.list_instances,
        "ListPastAttempts": past.list_past_attempts,
        "ListPastInstances": past.list_past_instances,
        "ListQueues": overview.list_queues,
        "RunJob": run_job.run_job,
        "GetService": service_operations.get_service,
        "Shutdown": service_operations.shutdown,
    },
)
