"""The channels of a server: each way in which a message gets to its target, by the name that machines use for it."""

from __future__ import annotations

import time
from collections.abc import Mapping

from batchyard.api.context import Context
from batchyard.clock import wall_clock_ms
from batchyard.deliveries.machine import LOG_CHANNEL
from batchyard.events.target_kinds import BATCH, HTTP, STATES
from batchyard.schedules.target_kinds import API_CHANNEL
from batchyard.server.deliveries.apprise_sender import AppriseSender
from batchyard.server.deliveries.command_sender import CommandSender
from batchyard.server.deliveries.http_channel import ApiDestinationChannel
from batchyard.server.deliveries.http_client import HttpClient
from batchyard.server.deliveries.log_channel import LogChannel
from batchyard.server.deliveries.mail_sender import MailSender
from batchyard.server.deliveries.own_operations import BatchChannel, OperationChannel, StateMachineChannel
from batchyard.server.deliveries.sender import Channel
from batchyard.server.deliveries.sns_channel import HttpNoticeSender, NoticeSender, SnsChannel
from batchyard.server.deliveries.sns_messages import Links
from batchyard.server.http.disk_guard import FreeSpace
from batchyard.server.parts import Parts
from batchyard.topics.machine import CHANNEL as SNS
from batchyard.topics.records import APPRISE, EMAIL_PROTOCOLS, EXEC, HTTP_PROTOCOLS


def make_channels(parts: Parts, context: Context, http: HttpClient) -> Mapping[str, Channel]:
    """Returns the channels, by name. `context`: of operations that the service performs for rules and schedules;
    `http`: open for as long as they are used."""
    space = free_space(parts)
    return {
        LOG_CHANNEL: LogChannel(parts.log_writer, wall_clock_ms),
        BATCH: BatchChannel(context, space),
        STATES: StateMachineChannel(context, space),
        API_CHANNEL: OperationChannel(context, space),
        HTTP: ApiDestinationChannel(http, context.ask, context.cipher, time.monotonic),
        SNS: SnsChannel(_notice_senders(parts, http)),
    }


def free_space(parts: Parts) -> FreeSpace:
    """Returns the check of the disk for what the service begins itself."""
    return FreeSpace(parts.writer.free_bytes, parts.settings.min_free_mib, wall_clock_ms)


def _notice_senders(parts: Parts, http: HttpClient) -> Mapping[str, NoticeSender]:
    """Returns the senders of topics, by protocol."""
    signer, settings = parts.message_signer, parts.settings
    links = Links((settings.public_url or parts.address).rstrip("/"))
    senders: dict[str, NoticeSender] = dict.fromkeys(HTTP_PROTOCOLS, HttpNoticeSender(http, signer, links))
    if settings.smtp is not None:
        senders |= dict.fromkeys(EMAIL_PROTOCOLS, MailSender(settings.smtp, signer, links))
    notify = settings.notify
    return senders | {EXEC: CommandSender(notify.commands), APPRISE: AppriseSender(notify.urls)}


def make_http_client(parts: Parts) -> HttpClient:
    """Returns the client of all HTTP targets. Owners of keys can have it send requests, so that with keys it reaches
    only what the configuration allows."""
    return HttpClient(parts.settings.allowed_targets, lambda: bool(parts.keys.current()))
