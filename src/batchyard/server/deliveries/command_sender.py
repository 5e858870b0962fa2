"""Hands what topics have for exec subscriptions to programs of the owner, which [notify.NAME] of the configuration
names."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping

from batchyard.server.deliveries.sender import ARRIVED, Outcome
from batchyard.topics.machine import Notice

TIMEOUT_SECONDS = 30.0  # a program that notifies takes a second or two
MAX_PROGRAMS = 8  # at once: each is a process of this machine
MAX_ERROR_CHARACTERS = 500  # of what it wrote to stderr


class CommandSender:
    """Runs programs (server.deliveries.sns_channel). `commands`: by the name of their tables. The message is on stdin;
    topic, subject and id are in the environment."""

    def __init__(self, commands: Mapping[str, tuple[str, ...]]) -> None:
        self._commands = commands
        self._places = asyncio.Semaphore(MAX_PROGRAMS)

    async def send(self, notice: Notice, body: str) -> Outcome:
        command = self._commands.get(notice.endpoint)
        if command is None:
            text = f"There is no [notify.{notice.endpoint}] in the configuration any more."
            return Outcome("NO_RESOURCE", text, is_final=True)
        async with self._places:
            return await _run(command, notice, body.encode(errors="replace"))


async def _run(command: tuple[str, ...], notice: Notice, body: bytes) -> Outcome:
    variables = {
        "SNS_TOPIC_ARN": notice.topic_arn,
        "SNS_SUBJECT": notice.subject,
        "SNS_MESSAGE_ID": notice.message_id,
    }
    pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=nothing, stderr=pipe, env={**os.environ, **variables}
        )
    except OSError as error:
        return Outcome("NO_RESOURCE", f"{command[0]} cannot be run: {error.strerror or error}.")
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            _, errors = await process.communicate(body)
    except TimeoutError:
        return Outcome("TIMEOUT", f"{command[0]} did not end within {TIMEOUT_SECONDS:g} s.")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode == 0:
        return ARRIVED
    shown = errors.decode("utf-8", "replace").strip()[-MAX_ERROR_CHARACTERS:]
    return Outcome("COMMAND_FAILED", f"{command[0]} ended with {process.returncode}: {shown or 'no word on stderr'}")
