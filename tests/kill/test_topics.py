"""What SNS answered with a MessageId reaches the subscribers at least once, though the server is killed while messages
are published and delivered."""

from __future__ import annotations

import json
import signal
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.request import urlopen

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.server.receiver import receiving
from tests.server.running import Server
from tests.waiting import until

KILLS = 1
BATCHES = 8  # to a life of the server, unless it is killed before
SECONDS = 60.0
ANSWER_SECONDS = 0.01  # of the subscriber: with it deliveries are under way at any time
FAILS_EACH = 7  # every seventh request is answered with 503, and sent again
RETRIED_AT_ONCE = '{"healthyRetryPolicy": {"numRetries": 50, "numNoDelayRetries": 50}}'


def client(server: Server) -> Any:
    config = Config(retries={"total_max_attempts": 1}, proxies={})
    keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any", "region_name": "us-east-1"}
    return boto3.client("sns", endpoint_url=server.address, config=config, **keys)


class Publisher:
    """Publishes numbers in batches until the server is gone. `answered`: those that got a MessageId."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self.answered: list[int] = []
        self.asked = 0

    def run(self, sns: Any) -> None:
        for _ in range(BATCHES):
            numbers = range(self.asked, self.asked + 10)
            self.asked += 10
            entries = [{"Id": str(number), "Message": str(number)} for number in numbers]
            try:
                answer = sns.publish_batch(TopicArn=self._topic, PublishBatchRequestEntries=entries)
            except (BotoCoreError, ClientError):
                return
            self.answered += [int(entry["Id"]) for entry in answer["Successful"]]


def waiting(server: Server) -> int:
    """How many deliveries the store has."""
    with closing(sqlite3.connect(f"file:{server.data_dir / 'batchyard.db'}?mode=ro", uri=True)) as connection:
        return int(connection.execute("SELECT count(*) FROM deliveries").fetchone()[0])


def test_published_messages_arrive_though_the_server_is_killed(tmp_path: Path, figures: list[str]) -> None:
    with receiving() as receiver, Server(tmp_path) as server:
        sns = client(server)
        topic = sns.create_topic(Name="jobs")["TopicArn"]
        attributes = {"DeliveryPolicy": RETRIED_AT_ONCE}
        sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=receiver.url, Attributes=attributes)
        with urlopen(json.loads(receiver.next("SubscriptionConfirmation"))["SubscribeURL"]):
            receiver.slow_down(ANSWER_SECONDS, FAILS_EACH)
        publisher, left = Publisher(topic), []
        for _ in range(KILLS):
            known = len(receiver.taken)
            thread = Thread(target=publisher.run, args=(sns,))
            thread.start()
            until(lambda: len(receiver.taken) > known + 10, SECONDS, lambda: "messages to arrive")  # noqa: B023
            server.signal(signal.SIGKILL)
            thread.join()
            left.append(waiting(server))
            server.start()
            sns = client(server)
        publisher.run(sns)
        wanted = set(publisher.answered)
        until(
            lambda: wanted <= numbers(receiver.taken).keys(),
            SECONDS,
            lambda: f"{wanted - numbers(receiver.taken).keys()}",
        )
        until(lambda: waiting(server) == 0, SECONDS, lambda: f"the store has {waiting(server)} deliveries")
        found = numbers(receiver.taken)
    assert all(left), "the server was killed too late: nothing was under way"
    assert found.keys() <= set(range(publisher.asked))
    again = sum(found.values()) - len(found)
    figures.append(
        f"SNS: {KILLS} kill(s), {' and '.join(map(str, left))} deliveries under way: {len(wanted)} messages answered "
        f"of {publisher.asked}, {len(found)} arrived, {len(wanted - found.keys())} lost, {again} arrived again"
    )


def numbers(taken: list[bytes]) -> Counter[int]:
    """How often each message was taken, by its number."""
    return Counter(int(json.loads(body)["Message"]) for body in list(taken))
