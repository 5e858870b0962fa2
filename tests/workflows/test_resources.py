"""Resources of Task states are taken apart (step functions spec 13)."""

import pytest

from batchyard.workflows.resources import ACTIVITY, Resource, parse_resource


@pytest.mark.parametrize(
    ("arn", "parts"),
    [
        ("arn:aws:states:::batch:submitJob.sync", ("batch", "submitJob", ".sync")),
        ("arn:aws:states:::batch:submitJob.sync:2", ("batch", "submitJob", ".sync:2")),
        ("arn:aws:states:::sns:publish", ("sns", "publish", "")),
        ("arn:aws:states:::states:startExecution.sync:2", ("states", "startExecution", ".sync:2")),
        ("arn:aws:states:::sns:publish.waitForTaskToken", ("sns", "publish", ".waitForTaskToken")),
        ("arn:aws-cn:states:::aws-sdk:sfn:startExecution", ("aws-sdk:sfn", "startExecution", "")),
        ("arn:aws:states:::aws-sdk:sns:publish.waitForTaskToken", ("aws-sdk:sns", "publish", ".waitForTaskToken")),
        ("arn:aws:states:::http:invoke", ("http", "invoke", "")),
        ("arn:aws:states:us-east-1:123456789012:activity:work", (ACTIVITY, "", "")),
        ("arn:aws:lambda:us-east-1:123456789012:function:f", ("", "", "")),
    ],
)  # fmt: skip
def test_a_resource_is_taken_apart(arn: str, parts: tuple[str, str, str]) -> None:
    resource = parse_resource(arn)
    assert resource == Resource(arn, *parts)
    assert resource.name == parts[1] + parts[2]
