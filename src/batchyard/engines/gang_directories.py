"""The directory that all nodes of a multi-node job's attempt share: their addresses, host files for MPI launchers, and
the FIFOs by which a command gets into another node (nodes/batchyard-rsh.sh, nodes/agent.sh).

    hosts              address, number and name of each node, the main one first
    hostfile           the same for Open MPI; hostfile.hydra for MPICH and Intel MPI
    batchyard-rsh      the launchers' remote shell
    N.requests         FIFO: requests to the agent of node N; N.up: it serves them; N.gone: the node has ended
    N.openmpi          what Open MPI's daemon on node N keeps, as a process
    request.*          one request: the command, and FIFOs for its input, output, errors and exit code

What a job finds in its environment about them is weaker than what its definition sets."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection
from importlib.resources import files
from ipaddress import IPv4Address
from pathlib import Path

from batchyard.core.model.gang import Gang
from batchyard.engines.supervisor.scratch import open_directory, remove_tree

RSH = "batchyard-rsh"
AGENT = "agent"
SCRATCH = "scratch"
NODES = "nodes"
KEPT_SECONDS = 3600.0  # what could not be removed at an attempt's end, for a look at it
# Ports of the main node for programs that meet there, below those that the system gives to outgoing connections. Nodes
# that share this machine's network get other ports for each attempt, since programs listen at all its addresses.
MASTER_PORT = 29500
FIRST_SHARED_PORT, SHARED_PORTS = 20000, 8000
_SCRIPTS = {RSH: "batchyard-rsh.sh", AGENT: "agent.sh"}
_SHARED_MODE, _OWN_MODE = 0o711, 0o700


class GangDirectories:
    """The directories of attempts, below `base`, by attempt id. `is_private`: no other user of this machine gets into
    them; containers see only what is mounted there."""

    def __init__(self, base: Path, *, is_private: bool = False) -> None:
        self._base = base
        self._mode = _OWN_MODE if is_private else _SHARED_MODE

    def nodes_directory(self, attempt_id: str) -> Path:
        return self._base / attempt_id / NODES

    def scratch_directory(self, attempt_id: str) -> Path:
        return self._base / attempt_id / SCRATCH

    def make(self, attempt_id: str, gang: Gang, owner: tuple[int, int] | None = None, mode: int = _OWN_MODE) -> None:
        """Makes the directories of an attempt, unless they are there. `owner`: user and group of all its nodes; `mode`:
        of the shared directory. OSError: why not."""
        top = self._base / attempt_id
        if (top / "made").exists():
            return
        for directory in (self._base, top):
            directory.mkdir(self._mode, parents=True, exist_ok=True)
            _set(directory, None, self._mode)
        nodes = top / NODES
        for directory in (nodes, top / SCRATCH):
            directory.mkdir(_OWN_MODE, exist_ok=True)
        inside = open_directory(nodes)
        try:
            for name, text in _texts(gang).items():
                _write(inside, name, text, 0o755 if name in _SCRIPTS else 0o644)
            for node in range(len(gang.addresses)):
                _make_fifo(inside, f"{node}.requests", owner, 0o600 if mode == _OWN_MODE else 0o666)
        finally:
            os.close(inside)
        _set(top / SCRATCH, owner, _OWN_MODE)
        _set(nodes, owner, mode)
        (top / "made").touch()

    def node_ended(self, attempt_id: str, node: int, why: str = "has ended") -> None:
        """Marks a node that takes no commands any more: nothing waits for it. `why`: what is said of it then."""
        nodes = self.nodes_directory(attempt_id)
        try:
            fd = open_directory(nodes)
        except (FileNotFoundError, NotADirectoryError):
            return  # the job removed it
        try:
            mark = os.open(f"{node}.gone", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644, dir_fd=fd)
            os.write(mark, why.encode())
            os.close(mark)
        except OSError:
            return  # it was marked before, or the job put something else there
        finally:
            os.close(fd)

    def remove(self, attempt_id: str, *, with_scratch: bool) -> None:
        """Removes the shared directory of an attempt whose nodes have all ended; with its scratch directory, or that is
        kept for a while."""
        top = self._base / attempt_id
        if not top.exists():
            return
        (top / "made").unlink(missing_ok=True)
        if (top / NODES).exists():
            remove_tree(top / NODES)
        if with_scratch:
            remove_tree(top)
        else:
            os.utime(top)

    def sweep(self, alive: Collection[str], kept_seconds: float = KEPT_SECONDS) -> None:
        """Removes the directories of attempts that ended long ago."""
        if not self._base.exists():
            return
        oldest = time.time() - kept_seconds
        for top in self._base.iterdir():
            with contextlib.suppress(FileNotFoundError):  # it was removed beside this
                if top.name not in alive and top.lstat().st_mtime < oldest:
                    remove_tree(top)


def _set(directory: Path, owner: tuple[int, int] | None, mode: int) -> None:
    _set_open(open_directory(directory), owner, mode)


def _set_open(fd: int, owner: tuple[int, int] | None, mode: int) -> None:
    """Sets mode and owner of what is open, and closes it."""
    try:
        os.fchmod(fd, mode)
        if owner is not None:
            os.fchown(fd, *owner)
    finally:
        os.close(fd)


def _write(directory: int, name: str, text: str, mode: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with os.fdopen(os.open(name, flags, mode, dir_fd=directory), "w") as file:
        file.write(text)
        os.fchmod(file.fileno(), mode)


def _make_fifo(directory: int, name: str, owner: tuple[int, int] | None, mode: int) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkfifo(name, _OWN_MODE, dir_fd=directory)
    _set_open(os.open(name, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW, dir_fd=directory), owner, mode)


def _texts(gang: Gang) -> dict[str, str]:
    """Returns the files of the shared directory, by name."""
    hosts = [(gang.addresses[node], node) for node in order_of(gang)]
    scripts = files("batchyard.engines.nodes")
    return {
        "hosts": "".join(f"{address} {node} {node_name(node)}\n" for address, node in hosts),
        "hostfile": "".join(f"{address} slots={gang.slots[node]}\n" for address, node in hosts),
        "hostfile.hydra": "".join(f"{address}:{gang.slots[node]}\n" for address, node in hosts),
        **{name: (scripts / source).read_text() for name, source in _SCRIPTS.items()},
    }


def node_name(node: int) -> str:
    """Returns the host name of a node, where it has a network of its own."""
    return f"node-{node}"


def order_of(gang: Gang) -> list[int]:
    """Returns the nodes, the main one first."""
    return [gang.main_node, *(node for node in range(len(gang.addresses)) if node != gang.main_node)]


def agent_command(directory: str, node: int) -> tuple[str, ...]:
    """Returns the command of a node's agent. `directory`: the shared one, as the node sees it."""
    return ("/bin/sh", f"{directory}/{AGENT}", directory, str(node))


def variables(
    gang: Gang, node: int, directory: str, *, is_shared_host: bool, interface: str = "", gpu_count: int = 0
) -> dict[str, str]:
    """Returns what a node finds in its environment. `directory`: as it sees it; `is_shared_host`: the nodes are on this
    machine's network, each with an address of its loopback network; `interface`: another one of that machine; empty:
    none is known; `gpu_count`: how many GPUs it sees."""
    main = gang.addresses[gang.main_node]
    rank = str(order_of(gang).index(node))
    port = MASTER_PORT
    if is_shared_host:
        port = FIRST_SHARED_PORT + 2 * (int(IPv4Address(gang.addresses[0])) // 16 % (SHARED_PORTS // 2))
    rsh, count = f"{directory}/{RSH}", str(len(gang.addresses))
    hydra_hosts = f"{directory}/hostfile.hydra"
    found = {
        "BATCHYARD_NODES_DIR": directory,
        "BATCHYARD_NODE_ADDRESS": gang.addresses[node],
        "BATCHYARD_NODE_ADDRESSES": ",".join(gang.addresses),
        "BATCHYARD_HOSTFILE": f"{directory}/hostfile",
        "BATCHYARD_RSH": rsh,
        # Open MPI 4 and 5
        "OMPI_MCA_plm_rsh_agent": rsh,
        "OMPI_MCA_orte_default_hostfile": f"{directory}/hostfile",
        "PRTE_MCA_plm_ssh_agent": rsh,
        "PRTE_MCA_prte_default_hostfile": f"{directory}/hostfile",
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "PRTE_ALLOW_RUN_AS_ROOT": "1",
        "PRTE_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        # MPICH, and Intel MPI, whose launcher is MPICH's under other names
        "HYDRA_LAUNCHER": "rsh",
        "HYDRA_LAUNCHER_EXEC": rsh,
        "HYDRA_HOST_FILE": hydra_hosts,
        "I_MPI_HYDRA_BOOTSTRAP": "rsh",
        "I_MPI_HYDRA_BOOTSTRAP_EXEC": rsh,
        "I_MPI_HYDRA_HOST_FILE": hydra_hosts,
        # torchrun, torch.distributed and what follows its names: one process a node; launchers set their own
        "MASTER_ADDR": main,
        "MASTER_PORT": str(port),
        "NODE_RANK": rank,
        "NNODES": count,
        "RANK": rank,
        "WORLD_SIZE": count,
        "PET_NNODES": count,
        "PET_NODE_RANK": rank,
        "PET_MASTER_ADDR": main,
        "PET_MASTER_PORT": str(port),
        "JAX_COORDINATOR_ADDRESS": f"{main}:{port + 1}",
        "JAX_NUM_PROCESSES": count,
        "JAX_PROCESS_ID": rank,
    }
    if gpu_count:
        found["PET_NPROC_PER_NODE"] = str(gpu_count)  # torchrun starts one process a GPU
    if is_shared_host:
        found |= _on_one_host(gang, node, directory, interface)
    return found


def _on_one_host(gang: Gang, node: int, directory: str, interface: str) -> dict[str, str]:
    """Returns the settings of Open MPI 4 and 5 where nodes have one host name."""
    settings = {
        # Open MPI takes nodes of one host name for one node, and shares memory among ranks that are not the same.
        "OMPI_MCA_btl": "self,tcp",
        "OMPI_MCA_btl_tcp_if_include": "lo",
        "OMPI_MCA_oob_tcp_if_include": "lo",
        # Daemons of one host name and user share files in /tmp: what ranks know of each other stays in memory.
        "PMIX_MCA_gds": "hash",
    }
    if interface:
        # Daemons of Open MPI 5 refuse loopback addresses, and offer each other those of all other interfaces.
        settings["PRTE_MCA_prte_if_include"] = interface
    if node != gang.main_node:
        # They also make a directory there, at the same moment, and the one that comes second gives up. The main node
        # has none of this: mpirun would pass it to all of them.
        settings["OMPI_MCA_orte_tmpdir_base"] = f"{directory}/{node}.openmpi"
    return settings
