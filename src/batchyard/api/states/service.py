"""Step Functions: workflows around jobs and other calls."""

from __future__ import annotations

from functools import partial

from batchyard.api.model_constraints import constraint_check
from batchyard.api.service_descriptor import ServiceDescriptor
from batchyard.api.states import (
    activities,
    definitions,
    executions,
    histories,
    machines,
    map_runs,
    state_tests,
    versions,
)
from batchyard.api.states.requests import BAD_TOKEN_TEXT, INVALID_TOKEN, VALIDATION

SERVICE = ServiceDescriptor(
    name="states",
    sdk_name="stepfunctions",
    title="Step Functions",
    is_announced=True,
    is_model_whole=True,
    compile_check=partial(constraint_check, elsewhere={"Name"}),
    invalid_code=VALIDATION,
    token_code=INVALID_TOKEN,
    token_text=BAD_TOKEN_TEXT,
    waiting=frozenset({"GetActivityTask", "StartSyncExecution"}),
    operations={
        "CreateStateMachine": machines.create_state_machine,
        "UpdateStateMachine": machines.update_state_machine,
        "DeleteStateMachine": machines.delete_state_machine,
        "DescribeStateMachine": machines.describe_state_machine,
        "ListStateMachines": machines.list_state_machines,
        "TagResource": machines.tag_resource,
        "UntagResource": machines.untag_resource,
        "ListTagsForResource": machines.list_tags_for_resource,
        "PublishStateMachineVersion": versions.publish_state_machine_version,
        "ListStateMachineVersions": versions.list_state_machine_versions,
        "DeleteStateMachineVersion": versions.delete_state_machine_version,
        "CreateStateMachineAlias": versions.create_state_machine_alias,
        "UpdateStateMachineAlias": versions.update_state_machine_alias,
        "DeleteStateMachineAlias": versions.delete_state_machine_alias,
        "DescribeStateMachineAlias": versions.describe_state_machine_alias,
        "ListStateMachineAliases": versions.list_state_machine_aliases,
        "ValidateStateMachineDefinition": definitions.validate_state_machine_definition,
        "TestState": state_tests.test_state,
        "StartExecution": executions.start_execution,
        "StartSyncExecution": executions.start_sync_execution,
        "StopExecution": executions.stop_execution,
        "RedriveExecution": executions.redrive_execution,
        "DescribeExecution": executions.describe_execution,
        "ListExecutions": executions.list_executions,
        "DescribeStateMachineForExecution": executions.describe_state_machine_for_execution,
        "GetExecutionHistory": histories.get_execution_history,
        "DescribeMapRun": map_runs.describe_map_run,
        "ListMapRuns": map_runs.list_map_runs,
        "UpdateMapRun": map_runs.update_map_run,
        "CreateActivity": activities.create_activity,
        "DeleteActivity": activities.delete_activity,
        "DescribeActivity": activities.describe_activity,
        "ListActivities": activities.list_activities,
        "GetActivityTask": activities.get_activity_task,
        "SendTaskSuccess": activities.send_task_success,
        "SendTaskFailure": activities.send_task_failure,
        "SendTaskHeartbeat": activities.send_task_heartbeat,
    },
)
