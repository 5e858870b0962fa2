"""Versions and labels of secrets under random histories, and the end of their recovery windows."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from batchyard.core.machine import Machine
from batchyard.core.model import commands as c
from batchyard.core.model.changes import Snapshot
from batchyard.core.model.names import Account
from batchyard.core.model.refusal import Refused
from batchyard.core.secrets.document_kinds import PARAMETER, SECRET
from batchyard.core.secrets.secrets import CURRENT, MAX_UNLABELLED, PREVIOUS

ACCOUNT = Account("123456789012", "us-east-1")
START_MS = 1_700_000_000_000
DAY_MS = 24 * 3600 * 1000
LABELS = (CURRENT, PREVIOUS, "AWSPENDING", "MINE")


class Kept:
    """A machine, and the documents that its changes left behind."""

    def __init__(self) -> None:
        self.machine = Machine(ACCOUNT)
        self.documents: dict[tuple[str, str], Struct] = {}
        self.now_ms = START_MS

    def do(self, command: c.Command[c.Answer]) -> c.Answer:
        """None: it was refused, and changed nothing."""
        before = dict(self.machine.world.secrets), dict(self.machine.world.leaving_secrets)
        answer = None
        try:
            answer = self.machine.handle(command, self.now_ms)
        except Refused:
            assert self.machine.world.changes.documents == {}
            assert (self.machine.world.secrets, self.machine.world.leaving_secrets) == before
        self.settle()
        return answer

    def settle(self) -> None:
        self.machine.schedule(self.now_ms)
        for place, record in self.machine.take()[0].documents.items():
            if record is None:
                del self.documents[place]
            else:
                self.documents[place] = record

    def restored(self) -> Machine:
        machine = Machine(ACCOUNT)
        machine.restore(Snapshot(documents=self.documents, last_time_ms=self.now_ms))
        return machine


def value(number: int) -> c.SealedValue:
    return c.SealedValue(f"version-{number}", b"sealed", b"digest")


@given(st.lists(st.lists(st.sampled_from(LABELS), max_size=3, unique=True), max_size=25))
def test_each_label_is_on_one_version_and_one_version_is_current(history: list[list[str]]) -> None:
    kept = Kept()
    kept.do(c.CreateSecret("db", "AbCdEf", None))
    for number, labels in enumerate(history):
        before = kept.machine.world.secrets["db"].versions
        current = [version.version_id for version in before if CURRENT in version.stages]
        answer = kept.do(c.PutSecretValue("db", value(number), tuple(labels)))
        assert answer.version_id == f"version-{number}"
        versions = kept.machine.world.secrets["db"].versions
        carried = [label for version in versions for label in version.stages]
        assert len(carried) == len(set(carried))
        assert carried.count(CURRENT) == 1
        newest = versions[-1]
        assert newest.version_id == f"version-{number}"
        assert set(labels or [CURRENT]) <= set(newest.stages)
        if before and CURRENT in newest.stages and PREVIOUS not in labels:
            assert [v.version_id for v in versions if PREVIOUS in v.stages] == current
        assert sum(not version.stages for version in versions) <= MAX_UNLABELLED
        again = kept.do(c.PutSecretValue("db", value(number), ("OTHER",)))
        assert again.secret == kept.machine.world.secrets["db"]
        assert kept.do(c.PutSecretValue("db", c.SealedValue(f"version-{number}", b"sealed", b"other"))) is None
    assert kept.restored().world.secrets == kept.machine.world.secrets


OPERATIONS = st.one_of(
    st.builds(c.CreateSecret, st.sampled_from("ab"), st.just("AbCdEf"), st.builds(value, st.integers(0, 3))),
    st.builds(c.PutSecretValue, st.sampled_from("ab"), st.builds(value, st.integers(0, 3))),
    st.builds(c.UpdateSecret, st.sampled_from("ab"), st.none() | st.builds(value, st.integers(0, 3)), st.just("d")),
    st.builds(c.DeleteSecret, st.sampled_from("ab"), st.sampled_from([0, 7 * DAY_MS, 30 * DAY_MS])),
    st.builds(c.RestoreSecret, st.sampled_from("ab")),
    st.builds(
        c.PutParameter,
        st.sampled_from("ab"),
        st.just("String"),
        st.builds(value, st.just(1)),
        st.just("Standard"),
        st.booleans(),
    ),
    st.builds(c.DeleteParameter, st.sampled_from("ab")),
    st.sampled_from([1, DAY_MS, 20 * DAY_MS]),
)


@given(st.lists(OPERATIONS, max_size=20))
def test_what_is_kept_is_what_lives(history: list[Any]) -> None:
    kept = Kept()
    for step in history:
        if isinstance(step, int):
            kept.now_ms += step
            kept.settle()
        else:
            kept.do(step)
        world, again = kept.machine.world, kept.restored().world
        assert (again.secrets, again.leaving_secrets, again.parameters) == (
            world.secrets,
            world.leaving_secrets,
            world.parameters,
        )
        assert {kind for kind, _ in kept.documents} <= {SECRET, PARAMETER}
        assert all(secret.gone_at_ms > kept.now_ms for secret in world.secrets.values() if secret.gone_at_ms)
        assert kept.machine.next_deadline() == min(world.leaving_secrets.values(), default=None)


def test_the_end_of_a_recovery_window_wakes_the_machine() -> None:
    kept = Kept()
    kept.do(c.CreateSecret("db", "AbCdEf", value(1)))
    assert kept.machine.next_deadline() is None
    kept.do(c.DeleteSecret("db", 7 * DAY_MS))
    due = kept.machine.next_deadline()
    assert due == START_MS + 7 * DAY_MS
    kept.now_ms = due
    kept.settle()
    assert kept.documents == {}
    assert kept.machine.next_deadline() is None
