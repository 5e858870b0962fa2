from collections.abc import Iterator

import pytest
from moto.server import ThreadedMotoServer

from tests.clients.calling import Clients
from tests.clients.node import Node, node_with_sdks
from tests.engines.dockerd import dockerd
from tests.server.running import Server

__all__ = ["dockerd"]  # a fixture

# Mail subscriptions are taken; nothing listens there.
MAIL = '[smtp]\nhost = "127.0.0.1"\nport = 9\nsender = "batchyard@example.org"\n'


@pytest.fixture(scope="session")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    """One service for all that is tried here; each test uses names of its own."""
    directory = tmp_path_factory.mktemp("clients")
    settings = directory / "settings.toml"
    settings.write_text(MAIL)
    with Server(directory, "--vcpus", "8", "--memory", "65536", "--config", str(settings)) as server:
        yield Clients(server)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of an S3 of the tests' own; each test uses buckets of its own."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def node(pytestconfig: pytest.Config) -> Node:
    """Kept between runs of the tests, as pytest keeps its cache."""
    assert pytestconfig.cache is not None
    return node_with_sdks(pytestconfig.cache.mkdir("javascript"))
