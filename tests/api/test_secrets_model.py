"""Any order of the operations on secrets, the key file's loss and restarts among them, against a small model."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from batchyard.core.machine import Machine
from batchyard.core.model.names import Account
from batchyard.core.model.refusal import Refused
from batchyard.core.secrets.secrets import CURRENT, MAX_UNLABELLED, PREVIOUS
from batchyard.server.settings.catalogue_file import load_catalogue
from tests.api.service import ACCOUNT, Service

DAY_MS = 24 * 3600 * 1000
WINDOW_DAYS = 7
NAMES = st.sampled_from(("db", "prod/app"))
TOKENS = st.integers(0, 15).map(lambda number: f"{number:032}")
VALUES = st.sampled_from(("one", "two", b"one", b"\x00\xff"))
STAGES = st.lists(st.sampled_from((CURRENT, PREVIOUS, "AWSPENDING", "MINE")), max_size=2, unique=True)


class Kept:
    """One secret, as AWS's documentation tells it: values by version id, oldest first, and who has which label."""

    def __init__(self) -> None:
        self.values: dict[str, str | bytes] = {}
        self.labels: dict[str, str] = {}
        self.gone_at_ms = 0

    def add(self, token: str, value: str | bytes, stages: list[str]) -> str:
        """The error's code; empty: done, or done before."""
        if token in self.values:
            return "" if self.values[token] == value else "ResourceExistsException"
        given = set(stages or [CURRENT]) | (set() if self.values else {CURRENT})
        if CURRENT in given and CURRENT in self.labels and PREVIOUS not in given:
            self.labels[PREVIOUS] = self.labels[CURRENT]
        elif CURRENT in given:
            self.labels.pop(PREVIOUS, None)
        self.values[token] = value
        self.labels |= dict.fromkeys(given, token)
        bare = [one for one in self.values if one not in self.labels.values()]
        for dropped in bare[: max(0, len(bare) - MAX_UNLABELLED)]:
            del self.values[dropped]
        return ""

    def stages(self) -> dict[str, set[str]]:
        return {token: {label for label, at in self.labels.items() if at == token} for token in self.labels.values()}


class SecretsInAnyOrder(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.key = Path(self.directory.name) / "secrets.key"
        self.service = Service(Path(self.directory.name))
        self.secrets: dict[str, Kept] = {}
        self.has_key = False

    def teardown(self) -> None:
        self.service.close()
        self.directory.cleanup()

    # -- what happens --

    @rule(name=NAMES, token=TOKENS, value=st.none() | VALUES)
    def create(self, name: str, token: str, value: str | bytes | None) -> None:
        def expected() -> str:
            known = self.secrets.get(name)
            if self._seals(value):
                return "EncryptionFailure"
            if known is not None and known.gone_at_ms:
                return "InvalidRequestException"
            if known is not None:
                is_repeated = value is not None and known.values.get(token) == value
                return "" if is_repeated else "ResourceExistsException"
            self.secrets[name] = Kept()
            return "" if value is None else self.secrets[name].add(token, value, [])

        self._call("CreateSecret", {"Name": name, "ClientRequestToken": token} | _member(value), expected)

    @rule(name=NAMES, token=TOKENS, value=VALUES, stages=STAGES)
    def put(self, name: str, token: str, value: str | bytes, stages: list[str]) -> None:
        request = {"SecretId": name, "ClientRequestToken": token} | _member(value)
        if stages:
            request["VersionStages"] = stages
        self._call("PutSecretValue", request, lambda: self._change(name, token, value, stages))

    @rule(name=NAMES, token=TOKENS, value=st.none() | VALUES)
    def update(self, name: str, token: str, value: str | bytes | None) -> None:
        request = {"SecretId": name, "ClientRequestToken": token, "Description": "d"} | _member(value)
        self._call("UpdateSecret", request, lambda: self._change(name, token, value, []))

    @rule(name=NAMES, is_forced=st.booleans())
    def delete(self, name: str, is_forced: bool) -> None:
        def expected() -> str:
            if name not in self.secrets:
                return "ResourceNotFoundException"
            if is_forced:
                del self.secrets[name]
            elif self.secrets[name].gone_at_ms:
                return "InvalidRequestException"
            else:
                self.secrets[name].gone_at_ms = self.service.now_ms + WINDOW_DAYS * DAY_MS
            return ""

        how: dict[str, Any] = {"ForceDeleteWithoutRecovery": True} if is_forced else {"RecoveryWindowInDays": 7}
        self._call("DeleteSecret", {"SecretId": name} | how, expected)

    @rule(name=NAMES)
    def restore(self, name: str) -> None:
        def expected() -> str:
            if name not in self.secrets:
                return "ResourceNotFoundException"
            self.secrets[name].gone_at_ms = 0
            return ""

        self._call("RestoreSecret", {"SecretId": name}, expected)

    @rule(days=st.sampled_from((1, WINDOW_DAYS)))
    def time_passes(self, days: int) -> None:
        self.service.tick(days * DAY_MS)
        now_ms = self.service.now_ms
        self.secrets = {n: kept for n, kept in self.secrets.items() if not 0 < kept.gone_at_ms <= now_ms}

    @precondition(lambda self: self.has_key)
    @rule()
    def lose_the_key_file(self) -> None:
        self.key.unlink()
        self.has_key = False

    @rule()
    def restart(self) -> None:
        machine = Machine(Account(ACCOUNT.account_id, ACCOUNT.region), catalogue=load_catalogue())
        machine.restore(self.service.writer.load(self.service.now_ms))
        self.service.machine = machine

    # -- what holds after every step --

    @invariant()
    def what_is_described_is_what_was_kept(self) -> None:
        listed = self.service.call("ListSecrets", {"IncludePlannedDeletion": True})["SecretList"]
        assert [one["Name"] for one in listed] == sorted(self.secrets)
        for one in listed:
            kept = self.secrets[one["Name"]]
            described = self.service.call("DescribeSecret", {"SecretId": one["Name"]})
            assert "DeletedDate" in described if kept.gone_at_ms else "DeletedDate" not in described
            for answer, member in ((one, "SecretVersionsToStages"), (described, "VersionIdsToStages")):
                assert (member in answer) == bool(kept.values)
                assert {token: set(stages) for token, stages in answer.get(member, {}).items()} == kept.stages()

    @invariant()
    def every_value_is_read_by_its_label_and_by_its_id(self) -> None:
        for name, kept in self.secrets.items():
            for stage in (CURRENT, PREVIOUS, "AWSPENDING", "MINE"):
                self._read(name, {"VersionStage": stage}, kept.labels.get(stage), f"staging label: {stage}")
            self._read(name, {}, kept.labels.get(CURRENT), f"staging label: {CURRENT}")
            for token in kept.values:
                self._read(name, {"VersionId": token}, token, "")
            self._read(name, {"VersionId": "x" * 32}, None, f"VersionId: {'x' * 32}")

    def _read(self, name: str, which: dict[str, str], token: str | None, missing: str) -> None:
        kept = self.secrets[name]
        answer, code, message = self._asked({"SecretId": name} | which)
        if kept.gone_at_ms:
            assert code == "InvalidRequestException"
        elif token is None:
            assert code == "ResourceNotFoundException"
            assert message == f"Secrets Manager can't find the specified secret value for {missing}"
        elif not self.has_key:
            assert code == "DecryptionFailure"
        else:
            assert answer["VersionId"] == token
            assert answer.get("SecretString", answer.get("SecretBinary")) == kept.values[token]

    def _asked(self, request: dict[str, str]) -> tuple[dict[str, Any], str, str]:
        """GetSecretValue's answer, or the code and text of its refusal."""
        try:
            return self.service.call("GetSecretValue", request), "", ""
        except Refused as refusal:
            return {}, refusal.code, refusal.message

    # -- the model --

    def _seals(self, value: str | bytes | None) -> bool:
        """Encrypts the value, if there is one; whether that fails for want of the key. The first key is made."""
        if value is None or self.has_key:
            return False
        if any(kept.values for kept in self.secrets.values()):
            return True
        self.has_key = True
        return False

    def _change(self, name: str, token: str, value: str | bytes | None, stages: list[str]) -> str:
        known = self.secrets.get(name)
        if known is None:
            return "ResourceNotFoundException"
        if self._seals(value):
            return "EncryptionFailure"
        if known.gone_at_ms:
            return "InvalidRequestException"
        return "" if value is None else known.add(token, value, stages)

    def _call(self, operation: str, request: dict[str, Any], expected: Callable[[], str]) -> None:
        """`expected` changes the model too."""
        code = ""
        try:
            self.service.call(operation, request)
        except Refused as refusal:
            code = refusal.code
        assert code == expected(), (operation, request)
        assert self.key.exists() == self.has_key


def _member(value: str | bytes | None) -> dict[str, Any]:
    if value is None:
        return {}
    return {"SecretString" if isinstance(value, str) else "SecretBinary": value}


TestSecretsInAnyOrder = SecretsInAnyOrder.TestCase
TestSecretsInAnyOrder.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
