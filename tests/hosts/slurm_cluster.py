"""A Slurm cluster for tests: munged, slurmctld on the host `ctl`, and slurmd on each of n1, n2..., on hosts in
namespaces. Debian's packages, installed where root runs the tests; no systemd, no accounting database."""

from __future__ import annotations

import os
import secrets
import subprocess
from pathlib import Path

from tests.debian import install_packages
from tests.hosts.host_network import ENDS_WITH_US, Host, HostNetwork
from tests.waiting import until

CONTROLLER = "ctl"
START_SECONDS = 60.0
PACKAGES = ("munge", "slurmctld", "slurmd", "slurm-client", "slurm-wlm-basic-plugins")
DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "sinfo", "scontrol", "scancel")
CPUS = 8
NODE_MEMORY_MIB = 8192
GPU_DEVICES = ("/dev/null", "/dev/zero")  # of the last node: slurmd counts devices, and does not look at them

CONFIGURATION = """
ClusterName=bed
SlurmctldHost={controller}({controller_address})
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={directory}/munge/socket
CredType=cred/munge
StateSaveLocation={directory}/state
SlurmdSpoolDir={directory}/spool.%n
SlurmctldPidFile={directory}/slurmctld.pid
SlurmdPidFile={directory}/slurmd.%n.pid
SlurmctldLogFile={directory}/slurmctld.log
SlurmdLogFile={directory}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
GresTypes=gpu
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,bf_interval=2
PropagateResourceLimits=NONE
ReturnToService=2
SlurmdTimeout=5
MessageTimeout=2
TCPTimeout=1
SlurmctldTimeout=10
KillWait=5
InactiveLimit=0
MinJobAge=300
MpiDefault=none
DefMemPerCPU=100
{nodes}
PartitionName=batch Nodes=ALL Default=YES MaxTime=INFINITE State=UP
PartitionName=short Nodes={first} MaxTime=10 State=UP
"""


class SlurmCluster:
    """`nodes`: how many. `network` has their hosts."""

    def __init__(self, directory: Path, nodes: int = 3) -> None:
        self.directory = directory
        self.names = [f"n{number}" for number in range(1, nodes + 1)]
        self.network = HostNetwork(directory / "hosts", [CONTROLLER, *self.names], [directory])
        self.environment = {"SLURM_CONF": str(directory / "slurm.conf")}
        self._munged: subprocess.Popen[bytes] | None = None
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}  # by the name of their host

    @property
    def controller(self) -> Host:
        return self.network[CONTROLLER]

    def start(self) -> None:
        """Returns when all nodes take jobs."""
        for name in ("state", "munge", *(f"spool.{name}" for name in self.names)):
            (self.directory / name).mkdir(parents=True, mode=0o755)
        self.directory.chmod(0o755)  # munged insists that others may enter
        self._configure()
        self._start_munged()
        self.network.start()
        self.start_controller()
        for name in self.names:
            self.start_node(name)
        until(lambda: self.up() == self.names, START_SECONDS, self._story)

    def stop(self) -> None:
        self.network.stop()  # with everything that runs on the hosts
        if self._munged is not None:
            self._munged.terminate()
            self._munged.wait(START_SECONDS)

    # -- daemons --

    def start_controller(self) -> None:
        """slurmctld saves its state every 5 s: after a kill it starts with one that may be as old."""
        self._start(self.controller, "slurmctld", "-D", "-f", str(self.directory / "slurm.conf"))

    def start_node(self, name: str) -> None:
        self._start(self.network[name], "slurmd", "-D", "-f", str(self.directory / "slurm.conf"), "-N", name)

    def kill_controller(self) -> None:
        self._kill(self.controller, "slurmctld.pid")

    def kill_node_daemon(self, name: str) -> None:
        """Kills slurmd alone: jobs run on."""
        self._kill(self.network[name], f"slurmd.{name}.pid")

    def power_off(self, name: str) -> None:
        self.network[name].power_off()

    def power_on(self, name: str) -> None:
        self.network[name].boot()
        self.start_node(name)

    # -- Slurm's commands --

    def run(self, *arguments: str, input: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs one of Slurm's commands on the controller's host."""
        return self.controller.run(*arguments, env=self.environment, input=input, check=check)

    def states(self) -> dict[str, str]:
        """Returns the state of each node by its name, as sinfo has it; nothing where slurmctld does not answer."""
        done = self.run("sinfo", "--noheader", "--Node", "--partition=batch", "--format=%N %T", check=False)
        pairs = [line.split() for line in done.stdout.splitlines()]
        return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}

    def up(self) -> list[str]:
        """Returns the nodes that take jobs, or run some."""
        return [name for name, state in sorted(self.states().items()) if state in ("idle", "mixed", "allocated")]

    def submit(self, script: str, *options: str) -> str:
        """Submits a batch script. Returns the id of the job."""
        done = self.run("sbatch", "--parsable", "--output=/dev/null", *options, input=script)
        return done.stdout.strip()

    def job_state(self, job_id: str) -> str:
        """Returns the state of a job; empty where slurmctld does not know it."""
        done = self.run("squeue", "--noheader", "--states=all", f"--jobs={job_id}", "--format=%T", check=False)
        return done.stdout.strip()

    def _configure(self) -> None:
        hosts = self.network.hosts
        line = "NodeName={0} NodeAddr={1} CPUs={2} RealMemory={3} State=UNKNOWN{4}"
        last = self.names[-1]
        nodes = "\n".join(
            line.format(
                name,
                hosts[name].address,
                CPUS,
                NODE_MEMORY_MIB,
                f" Gres=gpu:{len(GPU_DEVICES)}" if name == last else "",
            )
            for name in self.names
        )
        text = CONFIGURATION.format(
            controller=CONTROLLER,
            controller_address=self.controller.address,
            directory=self.directory,
            nodes=nodes,
            first=self.names[0],
        )
        (self.directory / "slurm.conf").write_text(text)
        gpus = [f"NodeName={last} Name=gpu File={device}\n" for device in GPU_DEVICES]
        (self.directory / "gres.conf").write_text("".join(gpus))

    def _start_munged(self) -> None:
        directory = self.directory / "munge"
        key = directory / "key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o400)
        paths = [f"--{name}={directory / name.replace('-', '.')}" for name in ("socket", "pid-file", "log-file")]
        paths += [f"--seed-file={directory / 'seed'}", f"--key-file={key}"]
        with (directory / "output").open("wb") as output:
            self._munged = subprocess.Popen(
                [*ENDS_WITH_US, "munged", "--foreground", "--force", *paths],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        until((directory / "socket").exists, START_SECONDS, self._story)

    def _start(self, host: Host, *arguments: str) -> None:
        log = self.directory / f"{host.name}.output"
        self._daemons[host.name] = host.start(*arguments, log=log, env=self.environment)

    def _kill(self, host: Host, pid_file: str) -> None:
        """Kills a daemon, whose pid file has its pid on its own host."""
        host.run("kill", "-KILL", (self.directory / pid_file).read_text().strip())
        self._daemons.pop(host.name).wait(START_SECONDS)
        (self.directory / pid_file).unlink()

    def _story(self) -> str:
        """Returns the ends of all logs, for a test that fails."""
        logs = [*self.directory.glob("*.log"), *self.directory.glob("*.output"), *self.directory.glob("munge/output")]
        texts = (f"== {log.name}\n{log.read_text(errors='replace')[-1000:]}" for log in sorted(logs))
        return "\n".join(["all nodes are up", *texts])


def skip_unless_slurm_is_possible() -> None:
    """Skips the test, with the reason, where Slurm can't be installed."""
    install_packages("no Slurm is installed", DAEMONS, PACKAGES)
    assert os.geteuid() == 0
