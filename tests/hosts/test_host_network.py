"""The hosts that other tests stand on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.hosts.host_network import HostNetwork, reaches, until_reachable
from tests.waiting import until

BOOT_ID = "/proc/sys/kernel/random/boot_id"


def test_hosts_are_machines_of_their_own(network: HostNetwork) -> None:
    one, other = network["a"], network["b"]
    assert one.run("hostname").stdout == "a\n"
    ids = {host.run("cat", BOOT_ID).stdout for host in (one, other)} | {Path(BOOT_ID).read_text()}
    assert len(ids) == 3, "each has a boot id of its own"
    one.run("touch", "/tmp/mine", "/dev/shm/mine")
    assert other.run("ls", "/tmp/mine", "/dev/shm/mine", check=False).returncode != 0
    assert not Path("/tmp/mine").exists()
    assert one.run("pwd").stdout.strip() == os.getcwd()
    until_reachable(one, other)


def test_the_power_goes_and_comes_back(network: HostNetwork, directory: Path) -> None:
    one, other = network["a"], network["b"]
    before = one.run("cat", BOOT_ID).stdout
    process = one.start("sleep", "1000", log=directory / "log")
    one.power_off()
    assert process.wait(60) != 0, "everything on it ends"
    one.boot()
    assert one.run("cat", BOOT_ID).stdout != before
    until_reachable(other, one)


def test_a_cut_cable_ends_nothing(network: HostNetwork, directory: Path) -> None:
    one, other = network["a"], network["b"]
    until_reachable(one, other)
    process = one.start("sleep", "1000", log=directory / "log")
    one.cut_cable()
    assert not reaches(one, other)
    assert process.poll() is None
    one.mend_cable()
    until_reachable(one, other)


def test_hosts_end_with_the_process_that_made_them(tmp_path: Path) -> None:
    """As when a test run is killed."""
    network = "from pathlib import Path; from tests.hosts.host_network import *; skip_unless_hosts_are_possible(); "
    made = f"n = HostNetwork(Path({str(tmp_path)!r}), ['a'], [Path({str(tmp_path)!r})]); n.start(); "
    script = f"{network}{made}print(n['a']._pid, flush=True); import signal; signal.pause()"
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    process.kill()
    process.wait(60)
    process.stdout.close()
    until(lambda: not Path(f"/proc/{pid}").exists())
