"""Hands what topics have for apprise subscriptions to the services that URLs of Apprise name, in [notify.NAME] of the
configuration (the extra `apprise`)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from batchyard.server.deliveries.sender import ARRIVED, Outcome
from batchyard.topics.machine import Notice

if TYPE_CHECKING:
    from apprise import Apprise

TIMEOUT_SECONDS = 30.0  # of one message: some services log in first
THREADS = 4  # a service that does not answer holds up notifications, and nothing else of this one
MAX_ERROR_CHARACTERS = 500  # of what Apprise says of a failure
MIN_SECRET = 4  # shorter parts of a URL stand in words by chance
HIDDEN = "****"


class AppriseSender:
    """Notifies through Apprise (server.deliveries.sns_channel). `urls`: by the name of their tables."""

    def __init__(self, urls: Mapping[str, str]) -> None:
        self._urls = urls
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="apprise")

    async def send(self, notice: Notice, body: str) -> Outcome:
        url = self._urls.get(notice.endpoint)
        if url is None:
            text = f"There is no [notify.{notice.endpoint}] with a url in the configuration any more."
            return Outcome("NO_RESOURCE", text, is_final=True)
        return await asyncio.get_running_loop().run_in_executor(self._threads, _notify, url, notice, body)


def _notify(url: str, notice: Notice, body: str) -> Outcome:
    try:
        service = _service(url)
    except ImportError as error:
        text = f"Apprise is not installed any more: pip install 'batchyard[apprise]' ({error})."
        return Outcome("NO_RESOURCE", text)
    if service is None:
        text = f"Apprise does not know the url of [notify.{notice.endpoint}] in the configuration."
        return Outcome("INVALID_PARAMETER", text, is_final=True)
    answer = service.notify(body.encode(errors="replace").decode(), notice.subject, timeout=TIMEOUT_SECONDS)
    if answer:
        return ARRIVED
    said = [entry.message for entry in answer.logs()]
    reason = without_secrets(said[-1], url)[:MAX_ERROR_CHARACTERS] if said else "it gave no reason"
    return Outcome("APPRISE_FAILED", f"Apprise could not notify [notify.{notice.endpoint}]: {reason}")


@cache
def _service(url: str) -> Apprise | None:
    """Returns what notifies at a URL; None: it is none of Apprise's. The library is imported at first use: it takes
    100 ms and 15 MiB."""
    import logging

    from apprise import Apprise, AppriseAsset

    logging.getLogger("apprise").propagate = False  # its words are in the failed delivery, without secrets
    service = Apprise(asset=AppriseAsset(app_id="Batchyard", app_desc="Batchyard", async_mode=False))
    return service if service.add(url) else None


def without_secrets(text: str, url: str) -> str:
    """Returns the text without the parts of a URL that may be keys: all but its scheme and host."""
    parts = urlsplit(url)
    place, _, _ = parts.netloc.rpartition("@")
    words = re.split(r"[/:@?&=#]", f"{place}/{parts.path}?{parts.query}#{parts.fragment}")
    for word in sorted({*words, *map(unquote, words)}, key=len, reverse=True):
        if len(word) >= MIN_SECRET:
            text = text.replace(word, HIDDEN)
    return text
