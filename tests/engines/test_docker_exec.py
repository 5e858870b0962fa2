"""A second command in a running container."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from batchyard.engines.docker.execs import STDERR, STDOUT, CannotExec, ExecStream
from tests.engines.conformance import final_of, launch_of, wait_for_run
from tests.engines.docker_harness import DockerHarness


@pytest.fixture
def attempt_id(docker: DockerHarness) -> str:
    launch = launch_of(docker.sleeps(), environment=[("COLOUR", "green")])
    docker.engine.launch([launch])
    wait_for_run(docker, launch.attempt_id)
    return launch.attempt_id


def begin(docker: DockerHarness, attempt_id: str, *command: str, tty: bool = False) -> ExecStream:
    stream: ExecStream = docker.run(docker.engine.exec(attempt_id, command, tty=tty))
    return stream


async def drain(stream: ExecStream) -> list[tuple[int, bytes]]:
    found = []
    while (piece := await stream.read()) is not None:
        found.append(piece)
    return found


def outputs(pieces: Sequence[tuple[int, bytes]], output: int) -> bytes:
    return b"".join(data for which, data in pieces if which == output)


def test_it_has_the_environment_of_the_job_and_an_exit_code_of_its_own(docker: DockerHarness, attempt_id: str) -> None:
    stream = begin(docker, attempt_id, "sh", "-c", "echo $COLOUR; echo wrong >&2; exit 3")
    pieces = docker.run(drain(stream))
    assert outputs(pieces, STDOUT) == b"green\n"
    assert outputs(pieces, STDERR) == b"wrong\n"
    assert docker.run(stream.exit_code()) == 3
    stream.close()
    docker.settle()
    assert final_of(docker, attempt_id) is None, "the job itself runs on"


def test_input_goes_in_until_it_is_ended(docker: DockerHarness, attempt_id: str) -> None:
    stream = begin(docker, attempt_id, "cat")
    docker.run(stream.write(b"first "))
    docker.run(stream.write(b"second"))
    stream.end_input()
    assert outputs(docker.run(drain(stream)), STDOUT) == b"first second"
    stream.close()


def test_a_terminal_has_the_size_that_it_was_given(docker: DockerHarness, attempt_id: str) -> None:
    stream = begin(docker, attempt_id, "sh", "-c", "read go; stty size", tty=True)
    docker.run(stream.resize(33, 111))
    docker.run(stream.write(b"\n"))
    assert b"33 111" in outputs(docker.run(drain(stream)), STDOUT)
    stream.close()


def test_only_what_runs_takes_a_command(docker: DockerHarness, attempt_id: str) -> None:
    with pytest.raises(CannotExec, match="only a RUNNING job"):
        begin(docker, "f" * 32, "true")
    with pytest.raises(CannotExec, match="no container 'sidecar': name one of default"):
        docker.run(docker.engine.exec(attempt_id, ["true"], container="sidecar"))


def test_a_program_that_is_not_there_says_so(docker: DockerHarness, attempt_id: str) -> None:
    stream = begin(docker, attempt_id, "no-such-program")
    said = b"".join(data for _, data in docker.run(drain(stream)))
    assert b"no-such-program" in said
    assert docker.run(stream.exit_code()) in (126, 127)
    stream.close()
