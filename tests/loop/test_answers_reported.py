"""Answers that are reported to another machine: within the batch, and so in the transaction, of their commands."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from batchyard.core.model.commands import CreateComputeEnvironment, CreateJobQueue
from batchyard.core.model.records import EnvironmentOrder
from batchyard.core.model.refusal import Refused
from batchyard.core.questions.capacity import AskCapacity
from batchyard.loop import Busy, Withdrawn
from batchyard.loop import loop as loop_module
from tests.loop.test_loop import ENGINE, SetClock
from tests.loop.test_several_machines import BELL, Bell, RingIn, Rung, Yard

ENVIRONMENT = CreateComputeEnvironment("local", "u", "UNMANAGED", "ENABLED", ENGINE, {})
QUEUE = CreateJobQueue("default", "ENABLED", 1, (EnvironmentOrder(1, "absent"),))


def test_what_a_command_changes_and_what_follows_from_its_answer_are_one_transaction(tmp_path: Path) -> None:
    async def scenario(yard: Yard) -> None:
        answers: list[Any] = []

        def ring(answer: Any) -> Rung:
            answers.append(answer)
            return Rung("a")

        answer = await yard.loop.ask(ENVIRONMENT, then=ring)
        assert answers == [answer]
        [changes] = yard.store.commits
        assert changes.documents[BELL, "a"] == Bell("a", 1)
        assert "local" in changes.environments
        assert yard.heard == ["a"], "the effect of the report is carried out after the commit"

    asyncio.run(Yard(tmp_path, SetClock()).serve(scenario))


def test_a_refusal_is_reported_too_and_raised_for_the_caller(tmp_path: Path) -> None:
    async def scenario(yard: Yard) -> None:
        def ring(answer: Any) -> Rung:
            assert isinstance(answer, Refused)
            return Rung(answer.code)

        with pytest.raises(Refused):
            await yard.loop.ask(QUEUE, then=ring)
        assert yard.bells.rung == {"ClientException": 1}

    asyncio.run(Yard(tmp_path, SetClock()).serve(scenario))


def test_nothing_is_reported_where_nothing_is_made_of_the_answer(tmp_path: Path) -> None:
    async def scenario(yard: Yard) -> None:
        await yard.loop.ask(AskCapacity(), then=lambda answer: None)
        assert yard.store.commits == []

    asyncio.run(Yard(tmp_path, SetClock()).serve(scenario))


def test_what_the_command_itself_causes_in_other_machines_is_in_that_transaction(tmp_path: Path) -> None:
    """The bell `late` rings by the timer that the command set, and the other by the command's answer."""

    async def scenario(yard: Yard) -> None:
        await yard.loop.ask(RingIn("late", 0), then=lambda due_ms: Rung(f"due {due_ms - yard.clock.now_ms()}"))
        [changes] = yard.store.commits
        assert {key: record for key, record in changes.documents.items() if key[0] == BELL} == {
            (BELL, "due 0"): Bell("due 0", 1),
            (BELL, "late"): Bell("late", 1),
        }

    asyncio.run(Yard(tmp_path, SetClock()).serve(scenario))


def test_a_command_that_finds_the_inbox_full_makes_no_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(yard: Yard) -> None:
        monkeypatch.setattr(loop_module, "INBOX_COMMANDS", 0)
        with pytest.raises(Busy):
            await yard.loop.ask(ENVIRONMENT, then=lambda answer: Rung("a"))
        assert yard.bells.rung == {}

    asyncio.run(Yard(tmp_path, SetClock()).serve(scenario))


def test_a_command_whose_condition_no_longer_holds_in_its_batch_is_not_carried_out(tmp_path: Path) -> None:
    """Both commands are in one batch: the first one's report ends what the second one is for."""

    async def scenario(yard: Yard) -> None:
        def is_silent() -> bool:
            return not yard.bells.rung

        first = asyncio.create_task(yard.loop.ask(ENVIRONMENT, lambda answer: Rung("a"), is_silent))
        second = asyncio.create_task(yard.loop.ask(RingIn("b", 0), lambda answer: Rung("c"), is_silent))
        await first
        with pytest.raises(Withdrawn):
            await second
        assert yard.bells.rung == {"a": 1}
        assert len(yard.store.commits) == 1

    asyncio.run(Yard(tmp_path, SetClock()).serve(scenario))
