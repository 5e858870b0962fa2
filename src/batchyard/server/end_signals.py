"""Signals that end the service, and the deadline of its end."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable

from batchyard.server.admin.terminal import EXIT_FORCED, complain
from batchyard.server.settings.paths import Paths, remove_server_file

END_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class EndSignals:
    """Calls `end` at each signal. A second Ctrl-C ends the process at once."""

    def __init__(self, paths: Paths, end: Callable[[], None]) -> None:
        self._paths = paths
        self._end = end
        self._interrupts = 0  # Ctrl-C so far

    def install(self) -> None:
        """Installs the handlers in the running event loop."""
        events = asyncio.get_running_loop()
        for number in END_SIGNALS:
            # nohup ignores SIGHUP for its command, and a shell SIGINT for background commands: that stays.
            if signal.getsignal(number) is not signal.SIG_IGN:
                events.add_signal_handler(number, self._signalled, number)

    def _signalled(self, number: signal.Signals) -> None:
        self._end()
        if number is signal.SIGINT:
            self._interrupts += 1
        # Only a second Ctrl-C means impatience: a SIGTERM beside one comes from scripts that stop what they started.
        if self._interrupts > 1:
            complain("Ended at once, as asked again; nothing that was answered is lost.")
            remove_server_file(self._paths)
            os._exit(EXIT_FORCED)


def start_deadline(seconds: float) -> None:
    """Ends the process after a time, whatever is unfinished then."""

    def too_late() -> None:
        complain(f"Not everything ended within {seconds:g} s; nothing that was answered is lost.")
        os._exit(EXIT_FORCED)

    timer = threading.Timer(seconds, too_late)
    timer.daemon = True
    timer.start()
