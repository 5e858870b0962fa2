"""Hosts for tests on one machine: Linux namespaces (network, UTS, PID and mount), joined by a bridge.

A host has an address, a host name, a boot id, /tmp and /dev/shm of its own; the rest of the file system is that of this
machine, as over NFS. Nothing has a name or an address outside of the namespaces, so that networks of several test runs
stand side by side, and all of it ends with the process that made it, however that ends."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.debian import install_packages
from tests.waiting import until

ROOT = Path(__file__).parents[2]
SUBNET = "10.77.0"
FIRST_ADDRESS = 10  # the last number of the first host's address
BOOT_SECONDS = 60.0
RUN_SECONDS = 60.0
TMP = Path("/tmp")
PROGRAMS = ("ip", "nsenter", "unshare", "setpriv")
NAMESPACES = ("--net", "--uts", "--pid", "--mount")
ENDS_WITH_US = ("setpriv", "--pdeathsig", "KILL")

# $0: the host's name, $1: its directory, $2...: what its /tmp shares with this machine's.
INIT = """
hostname "$0"; directory=$1; shift
mount -t tmpfs -o size=256m tmpfs /dev/shm
mount --bind "$directory/../hosts" /etc/hosts
for shared in "$@"; do
  mkdir -p "$directory/tmp/${shared#/tmp/}"; mount --bind "$shared" "$directory/tmp/${shared#/tmp/}"
done
chmod 1777 "$directory/tmp"; mount --rbind "$directory/tmp" /tmp
mount --bind "$directory/boot_id" /proc/sys/kernel/random/boot_id
trap : TERM INT HUP
echo ready
while :; do sleep 100000 & wait $!; done
"""


def skip_unless_hosts_are_possible() -> None:
    """Skips the test, with the reason, where this machine has no namespaces for us."""
    install_packages("hosts in namespaces are needed", PROGRAMS, ("iproute2", "util-linux"))
    tried = subprocess.run(["unshare", *NAMESPACES, "--fork", "--mount-proc", "true"], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"this machine permits no namespaces: {tried.stderr.strip()}")


class Host:
    """One host. `last_number`: of its address."""

    def __init__(self, network: HostNetwork, name: str, last_number: int) -> None:
        self.name = name
        self.address = f"{SUBNET}.{last_number}"
        self.directory = network.directory / name
        self._network = network
        self._mac = f"02:00:0a:4d:00:{last_number:02x}"  # the same after each boot: the others have it in their caches
        self._boots = 0
        self._init: subprocess.Popen[str] | None = None
        self._pid = 0
        self._started: list[subprocess.Popen[bytes]] = []

    @property
    def is_up(self) -> bool:
        return self._init is not None

    @property
    def _link(self) -> str:
        return f"{self.name}-{self._boots}"

    def boot(self) -> None:
        """Powers the host on. It has a new boot id."""
        assert self._init is None, f"{self.name} is up"
        (self.directory / "tmp").mkdir(parents=True, exist_ok=True)
        (self.directory / "boot_id").write_text(f"{uuid.uuid4()}\n")
        shared = [str(path) for path in sorted(set(self._network.shared)) if path.is_relative_to(TMP)]
        isolated = ["unshare", *NAMESPACES, "--fork", "--kill-child", "--mount-proc"]
        self._init = subprocess.Popen(
            [*ENDS_WITH_US, *isolated, "bash", "-c", INIT, self.name, str(self.directory), *shared],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self._init.stdout is not None
        lines: list[str] = []
        while not lines or lines[-1] != "ready\n":
            lines.append(self._init.stdout.readline())
            assert lines[-1], f"{self.name} does not boot: {''.join(lines)}"
        self._pid = int(Path(f"/proc/{self._init.pid}/task/{self._init.pid}/children").read_text())
        self._boots += 1
        self._network.on_bridge(
            f"link add {self._link} type veth peer name eth0 address {self._mac} netns {self._pid}",
            f"link set {self._link} master br0 up",
        )
        self._ip("link set lo up", f"addr add {self.address}/24 dev eth0", "link set eth0 up")

    def power_off(self) -> None:
        """Ends everything on the host at once, as a power cut does."""
        if self._init is None:
            return
        os.kill(self._pid, 9)
        self._init.wait(BOOT_SECONDS)
        assert self._init.stdout is not None
        self._init.stdout.close()
        self._init = None
        for process in self._started:
            process.wait(BOOT_SECONDS)
        self._started.clear()

    def cut_cable(self) -> None:
        """Takes the host off the network. Everything on it runs on, and no connection is closed."""
        self._network.on_bridge(f"link set {self._link} down")

    def mend_cable(self) -> None:
        self._network.on_bridge(f"link set {self._link} up")

    def command(self, arguments: Sequence[str]) -> list[str]:
        """Returns the command that runs a program on the host, with the working directory of the caller."""
        assert self._init is not None, f"{self.name} is off"
        flags = [*NAMESPACES, f"--wdns={os.getcwd()}"]
        return ["nsenter", "--target", str(self._pid), *flags, "--", *arguments]

    def run(
        self, *arguments: str, env: Mapping[str, str] | None = None, input: str = "", check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Runs a program on the host to its end. `env`: added to that of this process."""
        done = subprocess.run(
            self.command(arguments),
            env={**os.environ, **(env or {})},
            input=input,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
        )
        assert not check or done.returncode == 0, f"{arguments} on {self.name}: {done.stdout}{done.stderr}"
        return done

    def start(self, *arguments: str, log: Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Starts a program on the host, which ends with it."""
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*ENDS_WITH_US, *self.command(arguments)],
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self._started.append(process)
        return process

    def _ip(self, *lines: str) -> None:
        in_network = ["nsenter", "--target", str(self._pid), "--net"]
        subprocess.run([*in_network, "ip", "-batch", "-"], input="\n".join(lines), text=True, check=True)


class HostNetwork:
    """Hosts by name, with the addresses 10.77.0.10 and following.

    `shared`: directories of /tmp that are the same on all hosts; what lies elsewhere is. `directory`: of what the hosts
    write about themselves, in one of those."""

    def __init__(self, directory: Path, names: Sequence[str], shared: Sequence[Path]) -> None:
        self.directory = directory
        self.shared = (*shared, ROOT, Path(sys.prefix), Path(sys.base_prefix))
        self.hosts = {name: Host(self, name, FIRST_ADDRESS + place) for place, name in enumerate(names)}
        self._bridge: subprocess.Popen[str] | None = None

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def start(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        lines = ["127.0.0.1 localhost", *(f"{host.address} {name}" for name, host in self.hosts.items())]
        (self.directory / "hosts").write_text("\n".join(lines) + "\n")
        script = "ip link add br0 type bridge && ip link set br0 up && echo ready && exec sleep infinity"
        self._bridge = subprocess.Popen(
            [*ENDS_WITH_US, "unshare", "--net", "sh", "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._bridge.stdout is not None
        assert self._bridge.stdout.readline() == "ready\n", "the bridge can't be made"
        for host in self.hosts.values():
            host.boot()

    def on_bridge(self, *lines: str) -> None:
        """Runs commands of ip(8) where the bridge is."""
        assert self._bridge is not None, "the network was not started"
        in_network = ["nsenter", "--target", str(self._bridge.pid), "--net"]
        subprocess.run([*in_network, "ip", "-batch", "-"], input="\n".join(lines), text=True, check=True)

    def stop(self) -> None:
        for host in self.hosts.values():
            host.power_off()
        if self._bridge is not None:
            self._bridge.kill()
            self._bridge.wait(BOOT_SECONDS)
            assert self._bridge.stdout is not None
            self._bridge.stdout.close()


def reaches(host: Host, other: Host) -> bool:
    """Whether a packet from one host comes to another one: a port without a listener refuses, which only the other host
    can do."""
    probe = f"import socket; socket.create_connection(('{other.address}', 9), 1)"
    return "ConnectionRefusedError" in host.run(sys.executable, "-S", "-c", probe, check=False).stderr


def until_reachable(host: Host, other: Host) -> None:
    until(lambda: reaches(host, other), BOOT_SECONDS, f"{host.name} reaches {other.name}")
