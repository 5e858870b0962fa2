"""One good request for each operation that chance would not get into. `None` is an id from earlier answers, `-N` ends a
name that one of a few numbers completes. A key is an operation's name, with its service where others have one of that
name too."""

from __future__ import annotations

import json
from typing import Any

ARN = "arn:aws:batch:us-east-1:123456789012:"
QUOTA_SHARE = ARN + "job-queue/quota/quota-share/share-N"
ROLE = "arn:aws:iam::123456789012:role/r"
RESOURCES = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]
ORDER = [{"order": 1, "computeEnvironment": None}]
CONTAINER = {"image": "busybox", "command": ["echo", "hello"], "resourceRequirements": RESOURCES}
FARGATE = {
    "image": "busybox",
    "executionRoleArn": ROLE,
    "resourceRequirements": [{"type": "VCPU", "value": "0.25"}, {"type": "MEMORY", "value": "512"}],
}
CLUSTER: dict[str, Any] = {
    "type": "EC2",
    "maxvCpus": 4,
    "minvCpus": 0,
    "instanceTypes": ["c5.large"],
    "instanceRole": "r",
    "subnets": ["subnet-1"],
    "securityGroupIds": ["sg-1"],
}
POD = {
    "containers": [
        {
            "name": "main",
            "image": "busybox",
            "command": ["echo"],
            "args": ["$(A)"],
            "env": [{"name": "A", "value": "$(AWS_BATCH_JOB_ID)"}],
            "resources": {"limits": {"cpu": "0.5", "memory": "64Mi"}, "requests": {"cpu": "0.25"}},
            "volumeMounts": [{"name": "v", "mountPath": "/tmp", "subPath": ""}],
            "securityContext": {"runAsUser": 1000, "runAsGroup": 1000, "capabilities": {"drop": ["ALL"]}},
        }
    ],
    "initContainers": [{"name": "first", "image": "busybox"}],
    "volumes": [{"name": "v", "hostPath": {"path": "/tmp"}}, {"name": "s", "secret": {"secretName": "s"}}],
    "imagePullSecrets": [{"name": "registry"}],
    "metadata": {"labels": {"a": "b"}},
}
PROCESS_POD = {"containers": [{"image": "busybox", "command": ["echo", "$(AWS_BATCH_JOB_ID)"]}]}
SUBMISSION = {"jobName": "job-N", "jobQueue": "default", "jobDefinition": "work"}

TRUST = (
    '{"Version":"2012-10-17","Statement":'
    '{"Effect":"Allow","Principal":{"Service":"batch.amazonaws.com"},"Action":"sts:AssumeRole"}}'
)
PERMISSIONS = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}'

DIMENSIONS = [{"Name": "Host", "Value": "a"}]
METRIC = {"Namespace": "App", "MetricName": "metric-1", "Dimensions": DIMENSIONS}
PASSING = '{"StartAt": "A", "States": {"A": {"Type": "Pass", "End": true}}}'
WAITING = '{"StartAt": "A", "States": {"A": {"Type": "Wait", "SecondsPath": "$.seconds", "End": true}}}'
PUBLISHING = '{"Type": "Task", "Resource": "arn:aws:states:::sns:publish", "Parameters": {"Message": "m"}, "End": true}'
MAPPED = {
    "ItemsPath": "$.items",
    "ItemSelector": {"item.$": "$$.Map.Item.Value", "all.$": "$..[?(@.b)]"},
    "ItemProcessor": {
        "StartAt": "C",
        "States": {
            "C": {"Type": "Pass", "QueryLanguage": "JSONata", "Output": "{% $states.input.item.b %}", "End": True}
        },
    },
    "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "D"}],
}
# What many expressions are evaluated in, and an operation is called by.
RICH = json.dumps(
    {
        "StartAt": "A",
        "States": {
            "A": {
                "Type": "Choice",
                "Choices": [
                    {"Variable": "$.items[0]", "IsNumeric": True, "Next": "B"},
                    {"Variable": "$.items", "StringMatches": "*a*", "Next": "D"},
                ],
                "Default": "B",
            },
            "B": {"Type": "Map", **MAPPED, "Assign": {"x.$": "$"}, "Next": "D"},
            "D": {
                "Type": "Task",
                "Resource": "arn:aws:states:::aws-sdk:sts:getCallerIdentity",
                "ResultSelector": {"t.$": "States.Format('{} {}', $.Arn, States.JsonToString($x))"},
                "Retry": [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1, "MaxAttempts": 1}],
                "End": True,
            },
        },
    }
)
MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:"
ACTIVITY = "arn:aws:states:us-east-1:123456789012:activity:"
ASKING = json.dumps(
    {
        "StartAt": "A",
        "States": {"A": {"Type": "Task", "Resource": ACTIVITY + "activity-1", "HeartbeatSeconds": 60, "End": True}},
    }
)
CHILDREN = {"ProcessorConfig": {"Mode": "DISTRIBUTED"}, "StartAt": "B", "States": {"B": {"Type": "Fail"}}}
TOLERATED = {"ToleratedFailureCountPath": "$.seconds", "ItemBatcher": {"MaxItemsPerBatch": 2}}
DISTRIBUTED = json.dumps(
    {
        "StartAt": "A",
        "States": {"A": {"Type": "Map", "ItemsPath": "$.items", "ItemProcessor": CHILDREN, **TOLERATED, "End": True}},
    }
)
ALARM_RULE = {
    "EvaluationPeriods": 1,
    "Threshold": 1.0,
    "ComparisonOperator": "GreaterThanThreshold",
    "AlarmActions": ["arn:aws:automate:us-east-1:batch:cancel:*", "arn:aws:sns:us-east-1:123456789012:topic-1"],
}

TEMPLATES: dict[str, tuple[dict[str, Any], ...]] = {
    "PutMetricData": (
        {"Namespace": "App", "MetricData": [{"MetricName": "metric-N", "Value": 1.0, "Dimensions": DIMENSIONS}]},
        {"Namespace": "App", "MetricData": [{"MetricName": "metric-N", "Values": [1.0, 2.0], "Counts": [1.0, 3.0]}]},
    ),
    "GetMetricData": (
        {
            "StartTime": 1_700_000_000,
            "EndTime": 1_700_003_600,
            "MetricDataQueries": [
                {"Id": "m1", "MetricStat": {"Metric": METRIC, "Period": 60, "Stat": "p99"}, "ReturnData": False},
                {"Id": "e1", "Expression": "FILL(m1, 0) / MAX(m1)"},
            ],
        },
    ),
    "PutMetricAlarm": (
        {"AlarmName": "alarm-N", "Statistic": "Sum", "Period": 60, **METRIC, **ALARM_RULE},
        {
            "AlarmName": "alarm-N",
            "Metrics": [
                {"Id": "m1", "MetricStat": {"Metric": METRIC, "Period": 60, "Stat": "Sum"}, "ReturnData": False},
                {"Id": "e1", "Expression": "m1 * 2"},
            ],
            **ALARM_RULE,
        },
    ),
    "PutCompositeAlarm": ({"AlarmName": "both-N", "AlarmRule": "ALARM(alarm-1) AND NOT OK(alarm-2)"},),
    "SetAlarmState": ({"AlarmName": "alarm-N", "StateValue": "ALARM", "StateReason": "by hand"},),
    "PutRule": (
        {"Name": "rule-N", "EventPattern": '{"source": ["aws.batch", "my.app"]}'},
        {"Name": "rule-N", "ScheduleExpression": "rate(1 minute)"},
    ),
    "PutTargets": (
        {"Rule": "rule-N", "Targets": [{"Id": "t", "Arn": "arn:aws:logs:us-east-1:123456789012:log-group:/hostile"}]},
        {"Rule": "rule-N", "Targets": [{"Id": "b", "Arn": "arn:aws:events:us-east-1:123456789012:event-bus/default"}]},
        {
            "Rule": "rule-N",
            "Targets": [
                {
                    "Id": "h",
                    "Arn": "arn:aws:events:us-east-1:123456789012:api-destination/destination-N",
                    "RetryPolicy": {"MaximumRetryAttempts": 1, "MaximumEventAgeInSeconds": 60},
                }
            ],
        },
    ),
    "PutEvents": ({"Entries": [{"Source": "my.app", "DetailType": "t", "Detail": "{}"}]},),
    "CreateConnection": (
        {
            "Name": "connection-N",
            "AuthorizationType": "API_KEY",
            "AuthParameters": {"ApiKeyAuthParameters": {"ApiKeyName": "X-Key", "ApiKeyValue": "v"}},
        },
    ),
    "CreateApiDestination": (
        {
            "Name": "destination-N",
            "ConnectionArn": None,
            "InvocationEndpoint": "http://127.0.0.1:1/hook",
            "HttpMethod": "POST",
        },
    ),
    "CreateSchedule": (
        {
            "Name": "schedule-N",
            "ScheduleExpression": "rate(1 minute)",
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": {
                "Arn": "arn:aws:scheduler:::aws-sdk:batch:submitJob",
                "RoleArn": ROLE,
                "Input": '{"JobName": "scheduled", "JobQueue": "default", "JobDefinition": "work"}',
            },
        },
        {
            "Name": "schedule-N",
            "ScheduleExpression": "at(2020-01-01T00:00:00)",
            "ScheduleExpressionTimezone": "Europe/Berlin",
            "FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 5},
            "Target": {"Arn": "arn:aws:sns:us-east-1:123456789012:topic-N", "RoleArn": ROLE, "Input": "hello"},
        },
    ),
    "CreateScheduleGroup": ({"Name": "group-N"},),
    "DeleteSchedule": ({"Name": "schedule-N"},),
    "CreateTopic": ({"Name": "topic-N"},),
    "CreateStateMachine": (
        {"name": "machine-N", "definition": PASSING, "roleArn": ROLE},
        {"name": "quick-N", "definition": PASSING, "roleArn": ROLE, "type": "EXPRESS", "publish": True},
        {"name": "waiting-N", "definition": WAITING, "roleArn": ROLE},
        {"name": "rich-N", "definition": RICH, "roleArn": ROLE},
        {"name": "asking-N", "definition": ASKING, "roleArn": ROLE},
        {"name": "distributed-N", "definition": DISTRIBUTED, "roleArn": ROLE},
    ),
    "UpdateStateMachine": ({"stateMachineArn": None, "definition": WAITING, "publish": True},),
    "CreateStateMachineAlias": (
        {"name": "alias-N", "routingConfiguration": [{"stateMachineVersionArn": None, "weight": 100}]},
    ),
    "CreateActivity": ({"name": "activity-N"},),
    "StartExecution": (
        {"stateMachineArn": None, "input": '{"seconds": 1}'},
        {"stateMachineArn": None, "name": "run-N"},
        {"stateMachineArn": MACHINE + "asking-N"},
        {"stateMachineArn": MACHINE + "distributed-N", "input": '{"items": [1, 2, 3], "seconds": 1}'},
        {"stateMachineArn": None, "input": '{"items": [{"b": [1, null]}, {"b": "c"}, 3], "seconds": "1"}'},
    ),
    "StopExecution": ({"executionArn": None, "error": "E", "cause": "why"},),
    "DescribeExecution": ({"executionArn": None},),
    "GetExecutionHistory": ({"executionArn": None, "reverseOrder": True, "maxResults": 3}, {"executionArn": None}),
    "DescribeStateMachineForExecution": ({"executionArn": None},),
    "RedriveExecution": ({"executionArn": None},),
    "ListMapRuns": ({"executionArn": None},),
    "DescribeMapRun": ({"mapRunArn": None},),
    "UpdateMapRun": ({"mapRunArn": None, "maxConcurrency": 5, "toleratedFailurePercentage": 50.0},),
    "GetActivityTask": ({"activityArn": ACTIVITY + "activity-1", "workerName": "w"},),
    "SendTaskSuccess": ({"taskToken": None, "output": '{"seconds": 1}'},),
    "SendTaskFailure": ({"taskToken": None, "error": "E", "cause": "why"},),
    "SendTaskHeartbeat": ({"taskToken": None},),
    "states.TagResource": (
        {"resourceArn": ACTIVITY + "activity-N", "tags": [{"key": "a", "value": "b"}]},
        {"resourceArn": MACHINE + "machine-N", "tags": [{"key": "a", "value": "b"}]},
    ),
    "states.UntagResource": ({"resourceArn": ACTIVITY + "activity-N", "tagKeys": ["a"]},),
    "states.ListTagsForResource": ({"resourceArn": MACHINE + "machine-N"},),
    "ListExecutions": ({"stateMachineArn": None, "maxResults": 2}, {"stateMachineArn": None, "statusFilter": "FAILED"}),
    "DescribeStateMachine": ({"stateMachineArn": None},),
    "PublishStateMachineVersion": ({"stateMachineArn": None},),
    "ListStateMachineVersions": ({"stateMachineArn": None},),
    "DescribeActivity": ({"activityArn": ACTIVITY + "activity-N"},),
    "DeleteActivity": ({"activityArn": ACTIVITY + "activity-N"},),
    "StartSyncExecution": ({"stateMachineArn": MACHINE + "quick-N", "input": "{}"},),
    "ValidateStateMachineDefinition": ({"definition": PASSING},),
    "TestState": (
        {"definition": '{"Type": "Pass", "Parameters": {"a.$": "$..b"}, "End": true}', "input": '{"b": [1]}'},
        {"definition": PUBLISHING, "roleArn": ROLE, "mock": {"result": "{}"}, "inspectionLevel": "TRACE"},
    ),
    "Subscribe": (
        {
            "TopicArn": None,
            "Protocol": "http",
            "Endpoint": "http://127.0.0.1:1/hook-N",
            "Attributes": {"DeliveryPolicy": '{"healthyRetryPolicy": {"numRetries": 0}}'},
        },
    ),
    "SetSubscriptionAttributes": (
        {"SubscriptionArn": None, "AttributeName": "FilterPolicy", "AttributeValue": '{"a": [{"prefix": "b"}]}'},
    ),
    "Publish": ({"TopicArn": None, "Message": "hello", "Subject": "s"},),
    "PublishBatch": ({"TopicArn": None, "PublishBatchRequestEntries": [{"Id": "1", "Message": "hello"}]},),
    "sns.TagResource": ({"ResourceArn": None, "Tags": [{"Key": "a", "Value": "b"}]},),
    "CreateComputeEnvironment": (
        {"computeEnvironmentName": "env-N", "type": "UNMANAGED", "serviceRole": ROLE},
        {"computeEnvironmentName": "env-N", "type": "MANAGED", "serviceRole": ROLE, "computeResources": CLUSTER},
    ),
    "UpdateComputeEnvironment": (
        {"computeEnvironment": "env-N", "state": "DISABLED"},
        {"computeEnvironment": None, "state": "ENABLED"},
        {"computeEnvironment": "local", "state": "ENABLED"},
        {"computeEnvironment": None, "computeResources": {"maxvCpus": 2, "desiredvCpus": 1}},
    ),
    "DeleteComputeEnvironment": ({"computeEnvironment": "env-N"},),
    "CreateJobQueue": (
        {"jobQueueName": "queue-N", "priority": 1, "computeEnvironmentOrder": ORDER},
        {"jobQueueName": "queue-N", "priority": 5, "computeEnvironmentOrder": ORDER, "schedulingPolicyArn": None},
        {
            "jobQueueName": "training-N",
            "priority": 1,
            "serviceEnvironmentOrder": [{"order": 1, "serviceEnvironment": "service-N"}],
        },
        {
            "jobQueueName": "quota",
            "priority": 1,
            "serviceEnvironmentOrder": [{"order": 1, "serviceEnvironment": "service-N"}],
            "schedulingPolicyArn": ARN + "scheduling-policy/quota",
        },
    ),
    "UpdateJobQueue": (
        {"jobQueue": "queue-N", "state": "DISABLED"},
        {"jobQueue": "default", "state": "ENABLED", "priority": 2},
        {"jobQueue": None, "state": "ENABLED"},
    ),
    "DeleteJobQueue": ({"jobQueue": "queue-N"},),
    "GetJobQueueSnapshot": ({"jobQueue": None},),
    "CreateSchedulingPolicy": (
        {"name": "quota", "quotaSharePolicy": {"idleResourceAssignmentStrategy": "FIFO"}},
        {"name": "policy-N", "fairsharePolicy": {"shareDistribution": [{"shareIdentifier": "a*", "weightFactor": 1}]}},
    ),
    "UpdateSchedulingPolicy": ({"arn": None, "fairsharePolicy": {"shareDecaySeconds": 60, "computeReservation": 10}},),
    "DeleteSchedulingPolicy": ({"arn": None},),
    "DescribeSchedulingPolicies": ({"arns": [None]},),
    "CreateConsumableResource": ({"consumableResourceName": "licence-N", "totalQuantity": 3, "tags": {"a": "b"}},),
    "UpdateConsumableResource": (
        {"consumableResource": "licence-N", "operation": "ADD", "quantity": 1, "clientToken": "token-N"},
        {"consumableResource": None, "operation": "SET", "quantity": 0},
    ),
    "DescribeConsumableResource": ({"consumableResource": "licence-N"},),
    "ListConsumableResources": (
        {"filters": [{"name": "CONSUMABLE_RESOURCE_NAME", "values": ["licence*"]}], "maxResults": 3},
    ),
    "ListJobsByConsumableResource": (
        {"consumableResource": "licence-N", "filters": [{"name": "JOB_STATUS", "values": ["RUNNABLE"]}]},
    ),
    "DeleteConsumableResource": ({"consumableResource": "licence-N"},),
    "CreateServiceEnvironment": (
        {
            "serviceEnvironmentName": "service-N",
            "serviceEnvironmentType": "SAGEMAKER_TRAINING",
            "capacityLimits": [{"maxCapacity": 2, "capacityUnit": "NUM_INSTANCES"}],
        },
    ),
    "UpdateServiceEnvironment": (
        {"serviceEnvironment": "service-N", "state": "DISABLED"},
        {"serviceEnvironment": None, "state": "ENABLED"},
    ),
    "SubmitServiceJob": (
        {
            "jobName": "train-N",
            "jobQueue": "training-N",
            "serviceJobType": "SAGEMAKER_TRAINING",
            "serviceRequestPayload": "{}",
        },
    ),
    "CreateQuotaShare": (
        {
            "quotaShareName": "share-N",
            "jobQueue": "quota",
            "capacityLimits": [{"maxCapacity": 2, "capacityUnit": "ml.g5.xlarge"}],
            "resourceSharingConfiguration": {"strategy": "LEND"},
            "preemptionConfiguration": {"inSharePreemption": "DISABLED"},
        },
    ),
    "ListQuotaShares": ({"jobQueue": "quota"},),
    "DescribeQuotaShare": ({"quotaShareArn": QUOTA_SHARE},),
    "UpdateQuotaShare": ({"quotaShareArn": QUOTA_SHARE, "state": "DISABLED"},),
    "DeleteQuotaShare": ({"quotaShareArn": QUOTA_SHARE},),
    "UpdateServiceJob": ({"jobId": None, "schedulingPriority": 1},),
    "DescribeServiceJob": ({"jobId": None},),
    "ListServiceJobs": (
        {"jobQueue": "training-N", "jobStatus": "RUNNABLE", "maxResults": 1},
        {"jobQueue": "training-N", "filters": [{"name": "JOB_NAME", "values": ["train*"]}]},
    ),
    "TerminateServiceJob": ({"jobId": None, "reason": "none"},),
    "DeleteServiceEnvironment": ({"serviceEnvironment": "service-N"},),
    "RegisterJobDefinition": (
        {"jobDefinitionName": "work", "type": "container", "containerProperties": CONTAINER},
        {
            "jobDefinitionName": "definition-N",
            "type": "container",
            "platformCapabilities": ["FARGATE"],
            "containerProperties": FARGATE,
        },
        {
            "jobDefinitionName": "nodes-N",
            "type": "multinode",
            "nodeProperties": {
                "numNodes": 2,
                "mainNode": 0,
                "nodeRangeProperties": [{"targetNodes": "0:", "container": CONTAINER}],
            },
        },
        {
            "jobDefinitionName": "ecs-N",
            "type": "container",
            "ecsProperties": {"taskProperties": [{"containers": [{**CONTAINER, "name": "main"}]}]},
        },
        {"jobDefinitionName": "pod", "type": "container", "eksProperties": {"podProperties": POD}},
        {"jobDefinitionName": "pod-N", "type": "container", "eksProperties": {"podProperties": PROCESS_POD}},
        {
            "jobDefinitionName": "retries-N",
            "type": "container",
            "containerProperties": {**CONTAINER, "command": ["false"]},
            "retryStrategy": {"attempts": 2, "evaluateOnExit": [{"onExitCode": "1*", "action": "RETRY"}]},
            "timeout": {"attemptDurationSeconds": 60},
            "parameters": {"a": "b"},
            "tags": {"a": "b"},
        },
    ),
    "DeregisterJobDefinition": ({"jobDefinition": "retries-N:1"}, {"jobDefinition": "ecs-N:1"}),
    "SubmitJob": (
        SUBMISSION,
        {**SUBMISSION, "arrayProperties": {"size": 2}, "tags": {"a": "b"}},
        {**SUBMISSION, "dependsOn": [{"jobId": None}]},
        {**SUBMISSION, "containerOverrides": {"command": ["false"], "environment": [{"name": "A", "value": "B"}]}},
        {**SUBMISSION, "jobQueue": None, "jobDefinition": None},
        {
            **SUBMISSION,
            "jobDefinition": "pod-N",
            "eksPropertiesOverride": {"podProperties": {"containers": [{"args": ["$$(A)"], "env": [{"name": "A"}]}]}},
        },
        {**SUBMISSION, "jobDefinition": "pod"},
    ),
    "DescribeJobs": ({"jobs": [None, None]},),
    "ListJobs": (
        {"jobQueue": "default", "jobStatus": "SUCCEEDED", "maxResults": 2},
        {"jobQueue": None, "nextToken": None, "jobStatus": "SUCCEEDED"},
        {"arrayJobId": None},
        {"jobQueue": "default", "filters": [{"name": "JOB_NAME", "values": ["job*"]}]},
    ),
    "CancelJob": ({"jobId": None, "reason": "none"},),
    "TerminateJob": ({"jobId": None, "reason": "none"},),
    "batch.TagResource": ({"tags": {"a": "b"}},),
    "secretsmanager.TagResource": ({"SecretId": None, "Tags": [{"Key": "a", "Value": "b"}]},),
    "ssm.AddTagsToResource": (
        {"ResourceType": "Parameter", "ResourceId": "/parameter-N", "Tags": [{"Key": "a", "Value": "b"}]},
    ),
    "FilterLogEvents": (
        {"logGroupName": "/aws/batch/job", "filterPattern": "hello -world", "limit": 2},
        {"logGroupName": "/aws/batch/job", "filterPattern": '{ $.a = "b" }', "nextToken": None},
        {"logGroupName": "/aws/batch/job", "logStreamNames": [None], "startTime": 0},
    ),
    "GetLogEvents": (
        {"logGroupName": "/aws/batch/job", "logStreamName": None, "limit": 1},
        {"logGroupName": "/aws/batch/job", "logStreamName": None, "nextToken": None, "startFromHead": True},
    ),
    "DescribeLogStreams": ({"logGroupName": "/aws/batch/job", "limit": 1},),
    "ListContainerInstances": ({"cluster": None},),
    "DescribeTasks": ({"cluster": None, "tasks": [None]},),
    "DescribeContainerInstances": ({"cluster": None, "containerInstances": [None]},),
    "ListTasks": ({"cluster": None},),
    "CreateSecret": ({"Name": "secret-N", "SecretString": "v"}, {"Name": "secret-N"}),
    "PutSecretValue": ({"SecretId": None, "SecretString": "w", "VersionStages": ["AWSPENDING"]},),
    "UpdateSecret": ({"SecretId": None, "SecretString": "u"},),
    "GetSecretValue": ({"SecretId": None}, {"SecretId": None, "VersionId": None}),
    "DescribeSecret": ({"SecretId": None},),
    "DeleteSecret": ({"SecretId": "secret-N", "ForceDeleteWithoutRecovery": True}, {"SecretId": "secret-N"}),
    "RestoreSecret": ({"SecretId": None},),
    "PutParameter": ({"Name": "/parameter-N", "Value": "v", "Type": "SecureString", "Overwrite": True},),
    "GetParameter": ({"Name": "/parameter-N"},),
    "GetParameters": ({"Names": ["/parameter-N", "/parameter-N:1"]},),
    "DescribeInstances": ({"InstanceId": [None]}, {"Filter": [{"Name": "instance-id", "Value": ["*"]}]}),
    "CreateRole": (
        {"RoleName": "role-N", "AssumeRolePolicyDocument": TRUST, "Path": "/p/", "MaxSessionDuration": 3600},
    ),
    "GetRole": ({"RoleName": "role-N"},),
    "ListRoles": ({"PathPrefix": "/p/", "MaxItems": 2}, {"Marker": None}),
    "DeleteRole": ({"RoleName": "role-N"},),
    "iam.TagRole": ({"RoleName": "role-N", "Tags": [{"Key": "a", "Value": "b"}]},),
    "PutRolePolicy": ({"RoleName": "role-N", "PolicyName": "inline-N", "PolicyDocument": PERMISSIONS},),
    "GetRolePolicy": ({"RoleName": "role-N", "PolicyName": "inline-N"},),
    "AttachRolePolicy": (
        {"RoleName": "role-N", "PolicyArn": "arn:aws:iam::aws:policy/policy-N"},
        {"RoleName": "role-N", "PolicyArn": None},
    ),
    "CreatePolicy": ({"PolicyName": "policy-N", "PolicyDocument": PERMISSIONS},),
    "CreatePolicyVersion": ({"PolicyArn": None, "PolicyDocument": PERMISSIONS},),
    "GetPolicyVersion": ({"PolicyArn": None, "VersionId": "v1"},),
    "ListEntitiesForPolicy": ({"PolicyArn": None, "EntityFilter": "Role"},),
    "CreateInstanceProfile": ({"InstanceProfileName": "profile-N"},),
    "AddRoleToInstanceProfile": ({"InstanceProfileName": "profile-N", "RoleName": "role-N"},),
    "CreateServiceLinkedRole": ({"AWSServiceName": "batch.amazonaws.com"},),
    "DeleteServiceLinkedRole": ({"RoleName": "AWSServiceRoleForBatch"},),
    "RunJob": ({"jobName": "run-N", "command": ["echo", "hello"], "vcpus": 1, "memory": 64},),
    "ExplainJob": ({"jobId": None},),
    "DescribeJobTimes": ({"jobs": [None]},),
    "ListAttempts": ({"jobId": None},),
    "InterruptInstance": ({"instanceId": None},),
    "DrainHost": ({"host": None},),
    "ForgetHost": ({"host": None},),
}


def templates_of(service: str, operation: str) -> tuple[dict[str, Any], ...]:
    return TEMPLATES.get(f"{service}.{operation}", TEMPLATES.get(operation, ()))
