"""`make demo` as a person starts it, with less input."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from demo.check import count_in_one_process, differences, read_table
from demo.run import ROOT
from tests.waiting import until

DEMO_SECONDS = 120.0  # a few seconds; machines under load
LINES = "5000"


def command(folder: Path) -> list[str]:
    return [sys.executable, str(ROOT / "demo" / "run.py"), "--lines", LINES, "--dir", str(folder)]


def processes_naming(text: str) -> list[str]:
    """Command lines of processes that name `text` in their arguments or environment, except this one."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                content = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
            if text.encode() in content:
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


@pytest.mark.parametrize("runs", [2], ids=["twice in one folder"])
def test_the_demo_shows_a_right_result_and_leaves_nothing_running(tmp_path: Path, runs: int) -> None:
    folder = tmp_path / "demo"
    for _ in range(runs):
        done = subprocess.run(command(folder), capture_output=True, text=True, timeout=DEMO_SECONDS, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stderr == ""
    said = done.stdout
    assert re.search(r"transform-data +SUCCEEDED  50/50", said)
    assert "merged 50 parts" in said
    assert re.search(r"\n    http://127\.0\.0\.1:\d+/console/\n", said), said
    assert re.search(r"No process is left: server \d+ and supervisor \d+ have ended", said)
    assert f"batchyard up --data-dir {folder}/data" in said
    log = next((folder / "work").glob("access-*.log"))
    assert differences(read_table(folder / "work" / "table.tsv"), count_in_one_process(log)) == []
    assert processes_naming(str(folder)) == []


def test_on_a_terminal_there_is_time_to_look_at_the_console(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    outer, inner = pty.openpty()
    process = subprocess.Popen(command(folder), stdin=inner, stdout=inner, stderr=inner)
    os.close(inner)
    said = bytearray()

    def waits() -> bool:
        if select.select([outer], [], [], 0)[0]:
            said.extend(os.read(outer, 65_536))
        return b"Enter ends the demo" in said or process.poll() is not None

    try:
        until(waits, DEMO_SECONDS, lambda: f"the demo to show the console: {said.decode()}")
        found = re.search(r"http://127\.0\.0\.1:\d+/console/jobs/[0-9a-f-]+", said.decode())
        assert found, said.decode()
        with urllib.request.urlopen(found[0]) as page:
            assert b"transform-data" in page.read()
        os.write(outer, b"\n")
        while process.poll() is None:
            try:
                said.extend(os.read(outer, 65_536))
            except OSError:  # the other end is closed: the demo has ended
                break
        assert process.wait(DEMO_SECONDS) == 0, said.decode()
    finally:
        process.kill()
        process.wait()
        os.close(outer)
    assert processes_naming(str(folder)) == []


def test_ctrl_c_stops_everything(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    process = subprocess.Popen(command(folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    server = folder / "data" / "server.json"
    until(lambda: server.exists() or process.poll() is not None, DEMO_SECONDS, "the demo's service to start")
    assert process.poll() is None, process.communicate()[0]
    pid = json.loads(server.read_text())["pid"]
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=DEMO_SECONDS)
    assert process.returncode == 130, said
    assert "has been stopped" in said
    assert not Path(f"/proc/{pid}").exists()
    assert processes_naming(str(folder)) == []


def test_wrong_arguments_are_explained(tmp_path: Path) -> None:
    done = subprocess.run(
        [*command(tmp_path), "--lines", "3"], capture_output=True, text=True, timeout=DEMO_SECONDS, check=False
    )
    assert done.returncode == 2
    assert "--lines must be from 50" in done.stderr


def test_a_failing_step_fails_the_demo_with_its_story(tmp_path: Path) -> None:
    folder, steps = tmp_path / "demo", tmp_path / "steps"
    steps.mkdir()
    (steps / "ingest.py").write_text("import sys\nprint('no input today')\nsys.exit(7)\n")
    program = f"import sys, pathlib, demo.pipeline, demo.run; demo.pipeline.STEPS = pathlib.Path({str(steps)!r})"
    arguments = ["--lines", LINES, "--dir", str(folder)]
    done = subprocess.run(
        [sys.executable, "-c", f"{program}; sys.exit(demo.run.main())", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEMO_SECONDS,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(r"aggregate-results +FAILED", done.stdout)
    assert re.search(
        r"The demo failed: ingest-raw-data \([0-9a-f-]{36}\) failed: .*exit code 7\.\nno input today", done.stdout
    )
    assert "The end of the service's log" in done.stdout
    assert "Traceback" not in done.stderr
    assert processes_naming(str(folder)) == []
