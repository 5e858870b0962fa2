"""The order of the tests is random; the seed that gives the same order again is printed at the start and at the end.
The files that take minutes come first, so that no worker is left with one of them when the others have ended.
Ctrl-C is what it is on a terminal, however the tests were started."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes is the machine's affair: other tests run beside it, and perhaps a neighbour's.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# They wait (for pauses of Terraform's provider, for processes that were killed) more than they work.
LONG_FILES = (
    "tests/clients/test_terraform_itself.py",
    "tests/kill/test_failpoints.py",
    "tests/kill/test_kill.py",
    "tests/hostile/test_fuzzer.py",
    "tests/simulator/test_seeds.py",
    "tests/server/test_exec.py",
    "tests/test_examples_in_docs.py",
    "tests/engines/test_docker_crashes.py",
    "tests/server/test_docker_networks.py",
    "tests/browser/test_console.py",
    "tests/kill/test_docker.py",
    "tests/server/test_process.py",
    "tests/server/test_damage.py",
    "tests/test_examples.py",
    "tests/upgrade/test_upgrade.py",
)
# `make hunt` alone runs them, or who names them: `make test` has 15 minutes.
HUNTED_FILES = (
    "bench/test_scale.py",
    "browser/test_pictures.py",
    "browser/test_scale.py",
    "hosts/test_host_network.py",
    "hosts/test_slurm_cluster.py",
    "hosts/test_slurm_commands.py",
)
collect_ignore = [] if "BATCHYARD_HUNT" in os.environ else list(HUNTED_FILES)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ranks = {file: rank for rank, file in enumerate(LONG_FILES)}
    items.sort(key=lambda item: ranks.get(item.nodeid.partition("::")[0], len(ranks)))


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
