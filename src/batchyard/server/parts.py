"""The parts of a server that are opened before its event loop runs."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from msgspec import Struct

from batchyard.clock import SteadyClock, wall_clock_ms
from batchyard.core.capacity.prices import Prices
from batchyard.engines.base import Engine
from batchyard.server.access.access import Rules, check_listening
from batchyard.server.access.keys import Key, KeyFile, operator_key
from batchyard.server.access.metadata_tokens import secret_of
from batchyard.server.deliveries.message_signer import MessageSigner
from batchyard.server.engines.choice import check_limits, make_engines
from batchyard.server.hosts.host_service import HostService, open_host_service
from batchyard.server.http.connections import allowed_connections
from batchyard.server.http.loopback_listener import loopback_listener
from batchyard.server.http.server import bound_to_loopback, listening_socket, url_of
from batchyard.server.open_files import raise_open_files
from batchyard.server.service_store import find_loss, open_store
from batchyard.server.settings.catalogue_file import load_catalogue, load_prices
from batchyard.server.settings.certificates import ServerCertificate, certificate_of
from batchyard.server.settings.config import Settings
from batchyard.server.settings.paths import Paths, prepare, tidy_up
from batchyard.server.settings.s3 import S3, s3_of
from batchyard.server.telemetry.telemetry import Telemetry, open_telemetry
from batchyard.store.logs.log_writer import LogWriter
from batchyard.store.metrics.metric_store import MetricStore
from batchyard.store.store import Store
from batchyard.store.writer import Writer


class Parts(Struct, frozen=True, kw_only=True):
    """The parts that are opened before the event loop runs."""

    settings: Settings
    paths: Paths
    rules: Rules
    keys: KeyFile
    operator: Key
    secret: bytes
    store: Store
    writer: Writer  # of it, and open
    log_writer: LogWriter  # of log events that callers and targets write, and open
    metric_store: MetricStore
    message_signer: MessageSigner
    clock: SteadyClock  # moved on by the store, before anything is decided, when it is behind
    listener: socket.socket
    certificate: ServerCertificate | None  # of the listener; None: it speaks plain HTTP
    address: str
    plain_listener: socket.socket | None  # on loopback, beside a listener with TLS
    local_address: str  # where jobs on the host's network reach this service: without TLS
    engines: dict[str, Engine]
    hosts: HostService | None  # None: no hosts can join
    prices: Prices
    s3: S3 | None
    telemetry: Telemetry | None  # None: there is no collector to send to
    max_connections: tuple[int, int]  # in all, and of one caller


def open_parts(settings: Settings, paths: Paths, stack: ExitStack) -> Parts:
    """Opens everything that can be refused, the most informative error for the user first; `stack` closes it. Raises
    AccessError, ListenError, PathError, SettingError, StoreError."""
    check_limits(settings)
    prices = load_prices(settings.prices, load_catalogue())
    s3 = s3_of(settings)
    certificate = certificate_of(settings)
    prepare(paths)
    keys = KeyFile(paths.keys_file)
    operator, secret = operator_key(paths.operator_key_file), secret_of(paths.secret_file)
    store = open_store(paths)
    if (loss := find_loss(store.driver, paths)) is not None:
        raise loss
    writer = store.writer()
    writer.open(settings.account_id, settings.region)  # before the port: a second server gets the true reason
    stack.callback(writer.close)
    log_writer = LogWriter(paths.log_database, wall_clock_ms)
    log_writer.open()
    stack.callback(log_writer.close)
    telemetry = open_telemetry(settings, store)
    metric_store = MetricStore(paths.metric_database)
    stack.callback(metric_store.close)
    if telemetry is not None:
        stack.callback(telemetry.close)
    stack.callback(tidy_up, paths)  # while the lock is held: no other server can be using it
    listener = stack.enter_context(listening_socket(settings.host, settings.port))
    plain_listener = stack.enter_context(loopback_listener(paths.state_dir)) if certificate is not None else None
    address = url_of(settings.host, listener.getsockname()[1], "http" if certificate is None else "https")
    rules = Rules(settings.host, bound_to_loopback(listener), settings.allow_other_users, settings.insecure)
    keys.current()  # a damaged file is reported at once, and not to each caller
    check_listening(rules, keys)
    files_of_jobs, open_files = raise_open_files()
    clock = SteadyClock()
    hosts = open_host_service(settings, paths, clock.now_ms)
    engines = make_engines(settings, paths, files_of_jobs, clock.now_ms)
    return Parts(
        settings=settings,
        paths=paths,
        rules=rules,
        keys=keys,
        operator=operator,
        secret=secret,
        store=store,
        writer=writer,
        log_writer=log_writer,
        metric_store=metric_store,
        message_signer=MessageSigner(paths.signing_key_file),
        clock=clock,
        listener=listener,
        certificate=certificate,
        address=address,
        plain_listener=plain_listener,
        local_address=address if plain_listener is None else url_of(*plain_listener.getsockname()[:2]),
        engines=engines if hosts is None else {**engines, hosts.engine.name: hosts.engine},
        hosts=hosts,
        prices=prices,
        s3=s3,
        telemetry=telemetry,
        max_connections=allowed_connections(settings.max_connections, settings.max_connections_per_caller, open_files),
    )
