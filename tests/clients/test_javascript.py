"""The AWS SDKs for JavaScript, where this machine has Node.js: real jobs by v3, by v2, and by v3 inside a job."""

from __future__ import annotations

import json

import pytest

from tests.clients.calling import Clients, Document, needs
from tests.clients.node import Node


@pytest.mark.parametrize(("program", "name"), [("v3.mjs", "js-v3"), ("v2.js", "js-v2")])
def test_a_job_from_its_definition_to_its_log(clients: Clients, node: Node, program: str, name: str) -> None:
    said = [json.loads(line) for line in node.run(clients.server.address, program, name)]
    job, refusal = said
    assert (job["status"], job["lines"]) == ("SUCCEEDED", [f"hello {name}"])
    assert clients.job(job["jobId"])["jobName"] == name
    assert refusal == {"refused": "ClientException 400"}


def test_a_job_in_javascript_submits_the_next(clients: Clients, node: Node) -> None:
    """With the credentials of its attempt, which the SDK finds by itself."""
    container: Document = {
        "image": "node",
        "command": [node.program, str(node.directory / "v3.mjs"), "js-inner"],
        "resourceRequirements": needs(1, 512),
    }
    clients.batch.register_job_definition(jobDefinitionName="js-outer", type="container", containerProperties=container)
    outer = clients.batch.submit_job(jobName="outer", jobQueue="default", jobDefinition="js-outer")["jobId"]
    job = clients.ended(outer)
    answer = clients.logs.get_log_events(
        logGroupName="/aws/batch/job", logStreamName=job["container"]["logStreamName"], startFromHead=True
    )
    lines = [event["message"] for event in answer["events"]]
    assert job["status"] == "SUCCEEDED", lines
    inner = json.loads(next(line for line in lines if line.startswith("{")))  # the SDK may warn of an old Node.js
    assert (inner["status"], inner["lines"]) == ("SUCCEEDED", ["hello js-inner"])
