"""Nodes of multi-node jobs as containers: a network for each attempt, on which every node has its address before it is
there; a directory that all of them share; an agent in each, which needs nothing of an image but POSIX sh."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import Any

import msgspec

from batchyard.core.model.attempt_node import AttemptNode, parse_node
from batchyard.core.model.gang import Gang
from batchyard.core.model.node_addresses import gateway_of, network_of
from batchyard.core.model.records import ContainerSpec
from batchyard.core.tasks.task_spec import NO_NETWORK
from batchyard.engines.base import Launch
from batchyard.engines.docker.api import ApiError
from batchyard.engines.docker.containers import ATTEMPT, PREFIX, STORE, anchor_of, container_name, gpus_of
from batchyard.engines.docker.daemon import Daemon
from batchyard.engines.gang_directories import GangDirectories, agent_command, node_name, variables
from batchyard.engines.start_failures import CANNOT_START, CannotStart

SHARED = "/opt/batchyard/nodes"  # where a container sees the directory of its gang
DIRECTORY_MODE = 0o777  # of that directory: containers of a gang may have different users; only they see it
NO_SHELL = "has no agent: its image has no /bin/sh"
STAYS = "network and directory of the nodes of attempt %s stay for now: %s"
log = logging.getLogger(__name__)


def network_name(attempt_id: str) -> str:
    return f"{PREFIX}{attempt_id}"


def has_network(launch: Launch) -> bool:
    """Whether a launch is of a node on its gang's network."""
    return launch.gang is not None and launch.task.network != NO_NETWORK


class Gangs:
    """The networks and directories of a store's attempts."""

    def __init__(self, daemon: Daemon, directories: GangDirectories) -> None:
        self._daemon = daemon
        self._directories = directories
        self._making = asyncio.Lock()  # two requests for one network would be refused for overlapping
        self._removing = asyncio.Lock()  # an attempt's end and the reaper would remove one directory beside each other

    async def prepare(self, launch: Launch, store: str) -> None:
        """Makes the network and the directory of a node's attempt, unless they are there. CannotStart: why not."""
        async with self._making:
            await self._prepare(launch, store)

    async def _prepare(self, launch: Launch, store: str) -> None:
        gang = launch.gang
        assert gang is not None, f"attempt {launch.attempt_id} has one node"
        try:
            await asyncio.to_thread(self._directories.make, launch.attempt_id, gang, None, DIRECTORY_MODE)
        except OSError as error:
            raise CannotStart(f"{CANNOT_START}: the directory of its nodes can't be made: {error}") from error
        if has_network(launch):
            await self._make_network(launch, gang, store)

    async def _make_network(self, launch: Launch, gang: Gang, store: str) -> None:
        count = len(gang.addresses)
        subnet = str(network_of(gang.addresses[0], count))
        body = {
            "Name": network_name(launch.attempt_id),
            "CheckDuplicate": True,
            "Driver": "bridge",
            "IPAM": {"Config": [{"Subnet": subnet, "Gateway": gateway_of(gang.addresses[0], count)}]},
            "Labels": {STORE: store, ATTEMPT: launch.attempt_id},
        }
        try:
            await self._daemon.api.json("POST", "/networks/create", body=body)
        except ApiError as error:
            if error.status == 409 and "already exists" in error.message:
                return
            reason = f"{CANNOT_START}: the network of its nodes ({subnet}) can't be made: {error.message}"
            raise CannotStart(reason) from error

    def with_node(
        self, body: dict[str, Any], launch: Launch, spec: ContainerSpec, specs: tuple[ContainerSpec, ...]
    ) -> dict[str, Any]:
        """Returns the request that creates a container, with what makes it part of a node. The variables about the
        other nodes are weaker than those that it has."""
        gang, node = launch.gang, launch.attempt_node.node
        assert gang is not None, f"attempt {launch.attempt_id} has one node"
        host = dict(body["HostConfig"])
        nodes = str(self._directories.nodes_directory(launch.attempt_id))
        shared = {"Type": "bind", "Source": nodes, "Target": SHARED, "ReadOnly": False}
        host["Mounts"] = [*host.get("Mounts", []), shared]
        taken = {entry.partition("=")[0] for entry in body["Env"]}
        offered = variables(gang, node, SHARED, is_shared_host=False, gpu_count=len(gpus_of(launch, spec)))
        if has_network(launch):
            offered |= _interfaces(str(network_of(gang.addresses[0], len(gang.addresses))))
        changed = body | {
            "Env": [*(f"{name}={value}" for name, value in offered.items() if name not in taken), *body["Env"]],
            "HostConfig": host,
        }
        anchor = anchor_of(specs)
        if not has_network(launch):
            return changed
        if spec.name != anchor:
            host["NetworkMode"] = f"container:{container_name(launch.task, launch.task_id, anchor)}"
            return changed
        name = network_name(launch.attempt_id)
        host["NetworkMode"] = name
        endpoint = {"IPAMConfig": {"IPv4Address": gang.addresses[node]}, "Aliases": [node_name(node)]}
        return changed | {"Hostname": node_name(node), "NetworkingConfig": {"EndpointsConfig": {name: endpoint}}}

    async def begin_agent(self, container: str, attempt_node: AttemptNode) -> None:
        """Starts the agent of a node in its running container, unless it has one."""
        command = list(agent_command(SHARED, attempt_node.node))
        try:
            made = await self._daemon.api.json("POST", f"/containers/{container}/exec", body={"Cmd": command})
            await self._daemon.api.json("POST", f"/exec/{made['Id']}/start", body={"Detach": True, "Tty": False})
        except ApiError as error:
            if error.status in (404, 409):
                return  # the container has ended
            log.warning("node %s has no agent: %s", attempt_node.task_id, error.message)
            self._directories.node_ended(attempt_node.attempt_id, attempt_node.node, NO_SHELL)

    def node_ended(self, attempt_node: AttemptNode) -> None:
        self._directories.node_ended(attempt_node.attempt_id, attempt_node.node)

    async def remove(self, attempt_id: str) -> None:
        """Removes network and directory of an attempt whose last node is gone. ApiError, OSError: the rest stays for
        now."""
        async with self._removing:
            await asyncio.to_thread(self._directories.remove, attempt_id, with_scratch=True)
            try:
                await self._daemon.api.json("DELETE", f"/networks/{network_name(attempt_id)}")
            except ApiError as error:
                if error.status != 404:
                    raise

    def is_gang(self, attempt_id: str) -> bool:
        """Whether an attempt has a directory for its nodes."""
        return self._directories.nodes_directory(attempt_id).exists()

    async def reap(self, store: str, alive: Callable[[], Collection[str]]) -> None:
        """Removes the networks and directories of attempts that are not alive. `alive`: returns the task ids of the
        nodes that are. It is asked once the networks are known: an attempt is alive before it has a network."""
        filters = msgspec.json.encode({"label": [f"{STORE}={store}"]}).decode()
        found = await self._daemon.api.json("GET", "/networks", {"filters": filters})
        attempts = {parse_node(task_id)[0] for task_id in alive()}
        for network in found:
            attempt_id = (network.get("Labels") or {}).get(ATTEMPT, "")
            if attempt_id and attempt_id not in attempts:
                try:
                    await self.remove(attempt_id)
                except (ApiError, OSError) as error:  # it is removed the next time
                    log.warning(STAYS, attempt_id, error)
        try:
            await asyncio.to_thread(self._directories.sweep, attempts)
        except OSError as error:  # what is left is removed the next time
            log.warning("directories of multi-node jobs stay for now: %s", error)


def _interfaces(network: str) -> dict[str, str]:
    """Returns the settings that keep MPI on the network of the nodes: a container has another interface, by which it
    reaches the service, and no other container."""
    return {
        "OMPI_MCA_btl_tcp_if_include": network,
        "OMPI_MCA_oob_tcp_if_include": network,
        "PRTE_MCA_prte_if_include": network,
    }
