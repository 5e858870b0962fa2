"""Who is admitted as a host: by a token, by a key, and of which version."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from batchyard.core.model import commands as c
from batchyard.core.model.host_commands import CreateJoinToken
from batchyard.core.model.host_records import HostFacts
from batchyard.core.model.records import JOINED_PROVIDER, Instance
from batchyard.core.model.resources import Resources
from batchyard.engines.remote.listener import JoinRefused
from batchyard.engines.remote.messages import PROTOCOL_VERSION, Join
from batchyard.loop import Busy
from batchyard.server.hosts.admission import HostAdmission, skew_problem
from batchyard.server.hosts.tokens import digest_of, new_token, token_of_instance
from tests.core.driver import ENGINE, Driver

FACTS = HostFacts("ws1", Resources(2000, 4096), "boot", "0.1.0")
SECRET = b"of the data directory"


class Yard:
    def __init__(self) -> None:
        self.driver = Driver()
        self.driver.machines[JOINED_PROVIDER] = Instance("i-joined", Resources(), provider=JOINED_PROVIDER)
        self.driver.set_host()
        create = c.CreateComputeEnvironment("lab", "u-lab", "UNMANAGED", "ENABLED", ENGINE, {}, is_settled=True)
        self.driver.do(c.CreateComputeEnvironment(**{**_members(create), "provider": JOINED_PROVIDER}))
        self.admission = HostAdmission(self.ask, self.driver.machine.world, SECRET, "0.1.3")

    async def ask(self, command: c.Command[Any]) -> Any:
        return self.driver.do(command)

    def admit(self, key: str, token: str = "", instance_id: str = "", facts: HostFacts = FACTS) -> str:
        return asyncio.run(self.admission.admit(Join(PROTOCOL_VERSION, key, facts, token, instance_id)))

    def token(self) -> str:
        token = new_token("ab" * 32)
        self.driver.do(CreateJoinToken("lab", token.token_id, digest_of(token.secret), 60_000))
        return token.text


def _members(command: c.CreateComputeEnvironment) -> dict[str, Any]:
    return {name: getattr(command, name) for name in command.__struct_fields__}


@pytest.fixture
def yard() -> Yard:
    return Yard()


def test_a_token_and_then_the_key(yard: Yard) -> None:
    instance_id = yard.admit("key", yard.token())
    assert yard.admit("key", instance_id=instance_id) == instance_id
    assert yard.admission.has_key(instance_id, "key")
    assert not yard.admission.has_key(instance_id, "another")
    with pytest.raises(JoinRefused, match="with this key") as refused:
        yard.admit("another", instance_id=instance_id)
    assert refused.value.is_final


def test_what_is_kept_of_a_key_is_no_key(yard: Yard) -> None:
    instance_id = yard.admit("key", yard.token())
    stored = yard.driver.machine.world.hosts[instance_id].key_digest
    assert not yard.admission.has_key(instance_id, stored)


def test_a_text_that_is_no_token_is_refused(yard: Yard) -> None:
    with pytest.raises(JoinRefused, match="This is no token"):
        yard.admit("key", "byj.nonsense")


def test_a_named_instance_has_the_key_that_follows_from_its_id(yard: Yard) -> None:
    yard.driver.fleet("fleet", "c5.large")
    yard.driver.submit(queue="fleet")
    (instance_id,) = yard.driver.launching
    key = token_of_instance(instance_id, SECRET, "").secret
    assert yard.admit(key, instance_id=instance_id) == instance_id
    assert yard.admission.has_key(instance_id, key)
    with pytest.raises(JoinRefused, match="not the key"):
        yard.admit("guessed", instance_id=instance_id)
    assert not yard.admission.has_key(instance_id, "guessed")
    assert not yard.admission.has_key(
        "i-0123456789abcdef0", token_of_instance("i-0123456789abcdef0", SECRET, "").secret
    )


def test_a_busy_server_asks_for_another_try(yard: Yard) -> None:
    async def busy(command: c.Command[Any]) -> Any:
        raise Busy

    yard.admission._ask = busy  # type: ignore[assignment]
    with pytest.raises(JoinRefused) as refused:
        yard.admit("key", yard.token())
    assert not refused.value.is_final


@pytest.mark.parametrize("host", ["0.1.0", "0.2.9", "0.0.1", "", "unknown"])
def test_one_minor_version_apart_is_fine(host: str) -> None:
    assert skew_problem("0.1.3", host) == ""


@pytest.mark.parametrize("host", ["0.3.0", "1.1.0", "2.0"])
def test_more_is_refused_with_what_to_install(yard: Yard, host: str) -> None:
    assert f"batchyard {host}" in skew_problem("0.1.3", host)
    facts = HostFacts("ws1", Resources(2000, 4096), version=host)
    with pytest.raises(JoinRefused, match=r"Install batchyard 0\.1\.3"):
        yard.admit("key", yard.token(), facts=facts)
