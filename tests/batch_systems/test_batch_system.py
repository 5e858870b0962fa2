"""What is common to all batch systems."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.batch_systems.batch_system import (
    BatchSystem,
    JobState,
    PilotRequest,
    job_script,
    pilot_job,
    walltime_text,
)
from batchyard.batch_systems.pbs import PBS
from batchyard.batch_systems.slurm import SLURM

INSTANCE = "i-0123456789abcdef0"
REQUEST = PilotRequest("0a1b2c3d", INSTANCE)
FULL = PilotRequest(
    "0a1b2c3d", INSTANCE, "long", "physics", "high", "fast", True, 8, 16000, 2, "a100", 90061, notice_seconds=120
)
SYSTEMS = pytest.mark.parametrize("system", [SLURM, PBS], ids=lambda system: str(system.name))


def environment_of(script: str) -> dict[str, str]:
    """Runs a script without any environment, and returns what the command at its end was given."""
    done = subprocess.run(["/bin/sh"], input=script, env={}, capture_output=True, text=True, check=True)
    return dict(entry.split("=", 1) for entry in done.stdout.split("\0") if entry)


@given(value=st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\r"), max_size=40))
def test_a_script_gives_the_command_its_variables(value: str) -> None:
    found = environment_of(job_script({"TOKEN": value}, ("/usr/bin/env", "-0"), 0))
    assert found["TOKEN"] == value
    assert "BATCHYARD_JOIN_EXPIRES_AT" not in found


def test_a_script_has_a_home_a_path_and_its_end() -> None:
    found = environment_of(job_script({}, ("/usr/bin/env", "-0"), 3600, "SITE=1; export SITE"))
    assert found["HOME"].startswith("/")
    assert "/usr/bin" in found["PATH"]
    assert found["SITE"] == "1"
    now = int(subprocess.run(["date", "+%s"], capture_output=True, text=True, check=True).stdout)
    assert now + 3000 < int(found["BATCHYARD_JOIN_EXPIRES_AT"]) <= now + 3600


def test_a_pilot_is_known_by_its_name() -> None:
    job = pilot_job("7", REQUEST.name, JobState.QUEUED, "PENDING")
    assert job is not None
    assert (job.job_id, job.service_id, job.instance_id) == ("7", "0a1b2c3d", INSTANCE)
    for name in ("batchyard", REQUEST.name + "x", "x" + REQUEST.name, "batchyard--" + INSTANCE, ""):
        assert pilot_job("7", name, JobState.QUEUED, "") is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, ""), (59, "00:00:59"), (3600, "01:00:00"), (90061, "25:01:01"), (360000, "100:00:00")]
)
def test_a_walltime_is_written_in_hours(seconds: int, text: str) -> None:
    assert walltime_text(seconds) == text


@SYSTEMS
def test_each_place_of_a_template_has_a_value(system: BatchSystem) -> None:
    assert system.submit.places <= system.values(REQUEST).keys()
    assert system.cancel.places == {"job_id"}
    assert system.list_jobs.places == frozenset()


@SYSTEMS
def test_nothing_of_a_pilot_is_in_two_words(system: BatchSystem) -> None:
    """An option that takes a value from a tag can't become another option."""
    lengths = set()
    for text in ("v", "--uid=root -x"):
        request = PilotRequest("0a1b2c3d", INSTANCE, partition=text, account=text, qos=text, constraints=text)
        lengths.add(len(system.submit.words(system.values(request))))
    assert len(lengths) == 1
