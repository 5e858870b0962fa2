"""A service of AWS is declared in one place: one that a test puts into a folder of `api/`, with one operation, gets its
reduced model, is served, documented, pointed at for jobs and clients, and called by the command line's client without
any other edit."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from batchyard.wire.sigv4 import sign
from tests.server import running
from tests.server.running import Server
from tests.waiting import until

DESCRIPTOR = """
from batchyard.api.service_descriptor import ServiceDescriptor
from batchyard.api.toy import greetings

SERVICE = ServiceDescriptor(
    name="toy",
    title="Toy Service",
    is_announced=True,
    invalid_code="ToyException",
    is_model_whole=True,
    operations={"Greet": greetings.greet},
)
"""
OPERATION = '''
async def greet(context, call, request):
    """name -> greeting, account."""
    return {"greeting": f"Hello, {request['name']}", "account": context.account.account_id}
'''
# As AWS publishes models, and botocore carries them.
MODEL = {
    "version": "2.0",
    "metadata": {
        "endpointPrefix": "toy",
        "serviceId": "Toy",
        "protocol": "json",
        "jsonVersion": "1.1",
        "targetPrefix": "Toy_20250101",
    },
    "documentation": "<p>Greets.</p>",
    "operations": {
        name: {
            "name": name,
            "http": {"method": "POST", "requestUri": "/"},
            "input": {"shape": "GreetRequest"},
            "output": {"shape": "GreetResponse"},
        }
        for name in ("Greet", "Scold")
    },
    "shapes": {
        "GreetRequest": {
            "type": "structure",
            "required": ["name"],
            "members": {"name": {"shape": "Name"}},
        },
        "GreetResponse": {
            "type": "structure",
            "members": {"greeting": {"shape": "Text"}, "account": {"shape": "Text"}},
        },
        "Name": {"type": "string", "max": 10},
        "Text": {"type": "string"},
    },
}
SCRIPT = Path(__file__).parents[2] / "scripts" / "reduce_service_models.py"


@pytest.fixture(scope="module")
def prelude(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Code that adds the folder of the service to `api/`, and the models that the script reduced, as if they lay
    there."""
    directory = tmp_path_factory.mktemp("toy")
    folder = directory / "services" / "toy"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "service.py").write_text(DESCRIPTOR)
    (folder / "greetings.py").write_text(OPERATION)
    published = directory / "published" / "toy" / "2025-01-01"
    published.mkdir(parents=True)
    (published / "service-2.json").write_text(json.dumps(MODEL))
    added = f"from batchyard import api; api.__path__.append({str(folder.parent)!r}); "
    reduced = directory / "reduced"
    script = [str(SCRIPT), "--out", str(reduced), "--models", str(published.parents[1])]
    run_code(f"{added}import runpy, sys; sys.argv = {script}; runpy.run_path({str(SCRIPT)!r}, run_name='__main__')")
    directories = f"(Path({str(reduced)!r}), model.MODEL_DIRECTORIES[-1])"
    return (
        f"{added}from pathlib import Path; from batchyard.wire import model; model.MODEL_DIRECTORIES = {directories}; "
    )


def run_code(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout


def test_a_service_is_added_by_its_folder_alone(prelude: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        running, "BATCHYARD", (sys.executable, "-c", f"{prelude}from batchyard.__main__ import main; main()")
    )
    with Server(tmp_path) as server:
        status, answer = toy_call(server, "Greet", {"name": "Ada"})
        assert (status, answer) == (200, {"greeting": "Hello, Ada", "account": "123456789012"})
        status, answer = toy_call(server, "Greet", {"name": "x" * 11})
        assert (status, answer["__type"]) == (400, "ToyException")
        status, answer = toy_call(server, "Scold", {"name": "Ada"})
        assert (status, answer["message"]) == (400, "Scold is not built yet in this version of Batchyard.")
        assert f" AWS_ENDPOINT_URL_TOY={server.address}" in server.said()
        job = server.submit(["sh", "-c", f'test "$AWS_ENDPOINT_URL_TOY" = {server.address}'])
        ended = until(
            lambda: server.status(job) in ("SUCCEEDED", "FAILED") and server.status(job), 60, "the job to end"
        )
        assert ended == "SUCCEEDED"
        code = (
            f"{prelude}from batchyard.cli.client import Client; from batchyard.cli.endpoint import find_endpoint; "
            f"client = Client(find_endpoint({server.address!r}, {{}})); "
            "print(client.call('Greet', {'name': 'Bob'}, 'toy')['greeting'])"
        )
        assert run_code(code) == "Hello, Bob\n"


def toy_call(server: Server, operation: str, document: object) -> tuple[int, dict[str, str]]:
    body = json.dumps(document).encode()
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"Toy_20250101.{operation}"}
    signed = sign(
        "POST",
        server.address + "/",
        headers,
        body,
        access_key="any",
        secret_key="any",
        session_token=None,
        region="us-east-1",
        service="toy",
        now_ms=time.time_ns() // 1_000_000,
    )
    reply = server.request("POST", "/", body, signed)
    return reply.status, reply.json


def test_the_documentation_lists_it(prelude: str) -> None:
    code = f"{prelude}import json; from batchyard.docsgen.reference import documents; print(json.dumps(documents()))"
    pages = json.loads(run_code(code))
    operations = pages["reference/operations.md"]
    assert "- Toy Service: 1 of 2 operations\n" in operations
    section = operations.split("\n## Toy Service\n")[1].split("\n## ")[0]
    assert "### Greet\n" in section
    assert "`X-Amz-Target: Toy_20250101.Greet`. name -> greeting, account." in section
    assert "`Scold`" in section
    assert "\n| Toy Service | 1: Greet | " in pages["compatibility.md"]
