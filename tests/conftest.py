"""The order of the tests is random; the seed that gives the same order again is printed at the start and at the end.
Ctrl-C is what it is on a terminal, however the tests were started."""

from __future__ import annotations

import signal

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes is the machine's affair: other tests run beside it, and perhaps a neighbour's.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_configure(config: pytest.Config) -> None:
    """A shell starts what runs in its background with Ctrl-C ignored, and what tests start would inherit that: they
    would wait for ever for the ends that they ask for."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _order(config: pytest.Config) -> str:
    """What to say of the order, or nothing where the plugin that shuffles was switched off."""
    seed = config.getoption("randomly_seed", None)
    return f"random order: the same again with make test ARGS=--randomly-seed={seed}" if seed else ""


def pytest_sessionstart(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and not hasattr(session.config, "workerinput") and (order := _order(session.config)):
        reporter.write_line(order)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if order := _order(config):
        terminalreporter.write_line(order)
