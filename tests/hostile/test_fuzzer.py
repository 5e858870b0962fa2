"""Hostile requests to every operation, in every protocol, and mutilated messages: no 5xx, no hang, no growth, no log.

The same requests each time: other ones are for `make hunt`."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import pytest

from batchyard.api.operations import OPERATIONS
from batchyard.api.services import SERVICES
from tests.hostile import fuzzer
from tests.hostile.documents import HOSTILE_TEXTS, Maker, Pool, as_json
from tests.hostile.fuzzer import NOT_BUILT, fuzz, served
from tests.hostile.messages import DEEDS, form_versions, request_of
from tests.hostile.templates import TEMPLATES, templates_of
from tests.server import running

SEED = 20_240_229
REQUESTS = 5000  # under a minute on two quiet cores

# A service of which one operation fails, one never answers, and one keeps what it was sent.
FAULTY = """
import asyncio
from batchyard.api import operations
from batchyard.__main__ import main
kept = []
async def fails(context, call, request):
    raise RuntimeError("a fault of ours")
async def hangs(context, call, request):
    await asyncio.sleep(3600)
async def keeps(context, call, request):
    kept.append(b"x" * (4 << 20))
    return {}
operations.OPERATIONS |= {
    ("yard", "ListQueues"): fails, ("sts", "GetCallerIdentity"): hangs, ("ssm", "DescribeParameters"): keeps
}
main()
"""


def test_a_service_stands_hostile_requests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    faults = fuzz(tmp_path, SEED, requests=REQUESTS)
    assert faults == [], capsys.readouterr().out
    table = capsys.readouterr().out
    assert {f"{operation.service}.{operation.name}" for operation in served()} <= set(table.split())
    assert all(f"bytes: {deed}" in table for deed in DEEDS)


def test_what_is_wrong_with_a_service_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(running, "BATCHYARD", (sys.executable, "-c", FAULTY))
    monkeypatch.setattr(fuzzer, "ANSWER_SECONDS", 3.0)
    monkeypatch.setattr(fuzzer, "GROWTH_MIB", 8)
    wanted = {("yard", "ListQueues"), ("sts", "GetCallerIdentity"), ("ssm", "DescribeParameters")}
    monkeypatch.setattr(
        fuzzer, "served", lambda: [one for one in served() if (one.service, one.name) in wanted], raising=True
    )
    faults = " ".join(fuzz(tmp_path, SEED, requests=60))
    for fault in ("status 500 of yard.ListQueues", "no answer of sts.GetCallerIdentity", "grew by", "lines of log"):
        assert fault in faults
    assert "-> b'" in capsys.readouterr().out


def test_templates_name_operations_that_are_served_and_are_read_by_them() -> None:
    """A template with a member that the model does not have would reach nothing."""
    rng = random.Random(1)
    maker, used = Maker(rng, Pool(rng)), set()
    for operation in served():
        shape = operation.model.input
        for template in templates_of(operation.service, operation.name):
            assert shape is not None
            assert set(template) <= {member.wire_name for member in shape.members.values()}, operation
            maker.document(shape, template)
            used |= {operation.name, f"{operation.service}.{operation.name}"}
    assert set(TEMPLATES) <= used


def test_requests_come_again_with_their_seed_and_reach_every_operation() -> None:
    versions = form_versions(SERVICES)  # once: it reads every model

    def made(seed: int) -> list[tuple[str, str, bytes]]:
        rng = random.Random(seed)
        maker = Maker(rng, Pool(rng))
        requests = []
        for operation in served():
            document = maker.document(operation.model.input, None)
            sent = request_of(operation, document, versions, "http://127.0.0.1:1", rng)
            requests.append((sent.label, sent.target, sent.body))
        return requests

    assert made(1) == made(1)
    assert made(1) != made(2)
    assert {label for label, _, _ in made(1)} >= {".".join(key) for key in set(OPERATIONS) - NOT_BUILT}


def test_documents_are_json_but_for_those_that_are_meant_not_to_be() -> None:
    rng = random.Random(1)
    readable = 0
    for _ in range(400):
        try:
            json.loads(as_json({"text": rng.choice(HOSTILE_TEXTS[:10])}, rng))
        except (ValueError, RecursionError):
            continue
        readable += 1
    assert 300 < readable < 400
