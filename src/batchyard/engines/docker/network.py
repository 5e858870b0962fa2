"""The network by which containers that are not on the host's reach the service: one on each daemon, shared by all its
services, whose gateway is the address from which AWS's SDKs take credentials without TLS.

It leads nowhere else: it is internal, and its containers can't reach each other by it. Their own network is Docker's
`bridge`; this is a second interface. It is created when the first container needs it, recognised by its name and label,
and removed when a service ends and no container is on it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping
from typing import Any

from batchyard.engines.docker.api import ApiError, DaemonUnreachable
from batchyard.engines.docker.daemon import Daemon

NAME = "batchyard"
LABEL = "batchyard.network"
# SDK reference guide, container credential provider: in clear text only from loopback, this address and its
# neighbour .23. Amazon's container agent uses it, so that no other network has it.
ADDRESS = "169.254.170.2"
SUBNET = "169.254.170.0/24"  # 251 containers at once; 169.254.169.254 (a cloud's instance metadata) stays out of it
# Assigned to no container: other services that serve credentials on a network of this machine are there, and a
# container with an address of the machine itself would get no answer from it.
KEPT_FREE = {"gateway": "169.254.170.1", "eks": "169.254.170.23"}
REMEDY = "use the network host or none"
REMOVE_SECONDS = 1.0  # a service that ends has little time, and may leave the network
_IS_CONNECTED = "already exists in network"
log = logging.getLogger(__name__)


class NetworkProblem(Exception):
    """The reason, as a sentence, why containers can't be on the network."""


class JobNetwork:
    """`listen`: called with the network's interface on this machine, before any container is on it; it may raise
    OSError."""

    def __init__(self, daemon: Daemon, listen: Callable[[str], None] | None = None) -> None:
        self._daemon = daemon
        self._listen = listen
        self._making = asyncio.Lock()
        self._known: tuple[str, int] | None = None  # interface and its index

    async def join(self, container: str) -> None:
        """Connects a created container, unless it is connected already. NetworkProblem, DaemonUnreachable."""
        await self._ensure()
        try:
            await self._connect(container)
        except ApiError as error:
            if error.status != 404:
                raise NetworkProblem(f"Error response from daemon: {error.message}") from error
            self._known = None  # another service has just removed it
            await self._ensure()
            try:
                await self._connect(container)
            except ApiError as again:
                raise NetworkProblem(f"Error response from daemon: {again.message}") from again

    async def _connect(self, container: str) -> None:
        try:
            await self._daemon.api.json("POST", f"/networks/{NAME}/connect", body={"Container": container})
        except ApiError as error:
            if _IS_CONNECTED not in error.message:
                raise

    async def resume(self) -> None:
        """Serves containers again that an earlier server connected, or that outlived the daemon's restart."""
        try:
            found = await self._find()
            if found is not None:
                self._serve(found)
        except (NetworkProblem, ApiError) as problem:
            log.warning("containers on a network of their own don't reach this service: %s", problem)

    async def remove(self) -> None:
        """Removes the network, unless a container is on it or this service never used it."""
        if self._known is None or not self._daemon.is_up:
            return
        try:
            async with asyncio.timeout(REMOVE_SECONDS):
                await self._daemon.api.json("DELETE", f"/networks/{NAME}")
        except (ApiError, DaemonUnreachable, TimeoutError) as error:
            log.info("the network %s stays: %s", NAME, error)

    async def _ensure(self) -> None:
        async with self._making:
            if self._known is not None and _index(self._known[0]) == self._known[1]:
                return
            found = await self._find()
            if found is None:
                try:
                    await self._daemon.api.json("POST", "/networks/create", body=_REQUEST)
                except ApiError as error:
                    found = await self._find()  # another service may have created it just now
                    if found is None:
                        text = f"the network {NAME} ({SUBNET}) can't be made: {error.message}; {REMEDY}"
                        raise NetworkProblem(text) from error
                found = found or await self._find()
            if found is None:
                raise NetworkProblem(f"the network {NAME} was removed by somebody else")
            self._serve(found)

    async def _find(self) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = await self._daemon.api.json("GET", f"/networks/{NAME}")
        except ApiError as error:
            if error.status == 404:
                return None
            raise NetworkProblem(f"Error response from daemon: {error.message}") from error
        gateways = [one.get("Gateway", "") for one in (found.get("IPAM") or {}).get("Config") or []]
        if LABEL not in (found.get("Labels") or {}) or ADDRESS not in gateways:
            raise NetworkProblem(
                f"Docker has another network of the name {NAME}, which is not this service's: remove it, or {REMEDY}"
            )
        return found

    def _serve(self, found: Mapping[str, Any]) -> None:
        interface = interface_of(found)
        index = _index(interface)
        if not index:
            raise NetworkProblem(
                f"the interface {interface} of Docker's network {NAME} is not on this machine (is Docker rootless?): "
                f"{REMEDY}"
            )
        if self._listen is not None:
            try:
                self._listen(interface)
            except OSError as error:
                raise NetworkProblem(f"this service can't listen at {ADDRESS} on {interface}: {error}") from error
        self._known = interface, index


_REQUEST = {
    "Name": NAME,
    "CheckDuplicate": True,
    "Driver": "bridge",
    "Internal": True,
    "IPAM": {"Config": [{"Subnet": SUBNET, "Gateway": ADDRESS, "AuxiliaryAddresses": KEPT_FREE}]},
    "Options": {"com.docker.network.bridge.enable_icc": "false"},
    "Labels": {LABEL: "jobs"},
}


def interface_of(found: Mapping[str, Any]) -> str:
    """Returns the bridge's interface: its option where it has a name, Podman's, or Docker's default."""
    named = (found.get("Options") or {}).get("com.docker.network.bridge.name") or found.get("network_interface")
    return str(named or f"br-{found['Id'][:12]}")


def _index(interface: str) -> int:
    """Returns the index of an interface; 0: there is none of that name on this machine."""
    try:
        return socket.if_nametoindex(interface)
    except OSError:
        return 0
