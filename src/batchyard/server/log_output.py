"""Configures the logs of libraries: lines on standard error."""

from __future__ import annotations

import logging

from batchyard.cli.terminal_output import shown

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class ShownFormatter(logging.Formatter):
    """Formats lines for a terminal: the texts of callers and jobs in them are escaped."""

    def format(self, record: logging.LogRecord) -> str:
        return shown(super().format(record), keep="\n")


def configure_logging() -> None:
    """Sends warnings and worse to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(ShownFormatter(LOG_FORMAT))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    # Bad requests are the caller's mistakes: they are answered, not logged.
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    # Its asyncio notes (slow callbacks, unclosed transports) are for developers.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
