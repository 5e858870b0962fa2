"""A call that an operation makes to test a state."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from batchyard.api.integration_calls import call_once
from batchyard.api.integrations import CallError
from batchyard.workflows.resources import parse_resource
from tests.api.service import Service


def test_a_call_has_its_output_or_its_error(tmp_path: Path) -> None:
    service = Service(tmp_path)

    def call(arn: str, arguments: Any) -> Any:
        return asyncio.run(call_once(service.context, parse_resource(arn), arguments, "tester"))

    try:
        service.make_queue()
        queue = {"JobQueues": ["default"]}
        assert call("arn:aws:states:::aws-sdk:batch:describeJobQueues", queue)["JobQueues"][0]["State"] == "ENABLED"
        job = {"JobName": "a", "JobQueue": "default", "JobDefinition": "none"}
        assert call("arn:aws:states:::batch:submitJob", job).error == "Batch.ClientException"
        assert call("arn:aws:states:::batch:submitJob", {}) == CallError(
            "States.Runtime",
            "The field 'JobName' is required but was missing, The field 'JobQueue' is required but was missing, "
            "The field 'JobDefinition' is required but was missing",
        )
        assert call("arn:aws:states:::lambda:invoke", {}).error == "States.TaskFailed"
    finally:
        service.close()
