"""Topics of SNS and their subscriptions."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from batchyard.cli.client import SNS, Client
from batchyard.cli.formats import name_of, table
from batchyard.cli.terminal_output import print_json, say, tell

HEADINGS = ("TOPIC", "PROTOCOL", "STATE", "ENDPOINT")
PENDING = "PendingConfirmation"


def show_topics(client: Client, *, as_json: bool) -> int:
    """Prints each topic with its subscriptions, by name."""
    topics = [one["TopicArn"] for one in _listed(client, "ListTopics", "Topics")]
    subscriptions = _listed(client, "ListSubscriptions", "Subscriptions")
    if as_json:
        print_json({"Topics": topics, "Subscriptions": subscriptions})
        return 0
    if not topics:
        tell("There is no topic: aws sns create-topic --name NAME makes one.")
        return 0
    rows = []
    for topic in topics:
        name = name_of(topic.rpartition(":")[2])
        own = [one for one in subscriptions if one["TopicArn"] == topic]
        rows += [(name, one["Protocol"], _state(one["SubscriptionArn"]), one["Endpoint"]) for one in own]
        if not own:
            rows.append((name, "-", "-", "no subscription"))
    say(table(HEADINGS, rows))
    return 0


def _state(arn: str) -> str:
    return "pending" if arn == PENDING else "confirmed"


def _listed(client: Client, operation: str, member: str) -> list[dict[str, str]]:
    """Returns all rows of a list operation, each with its members."""
    found: list[dict[str, str]] = []
    request: dict[str, str] = {}
    while True:
        answer = client.call_form(operation, request, SNS)
        found += [_row(row) for row in answer.iterfind(f".//{member}/member")]
        token = answer.findtext(".//NextToken")
        if not token:
            return found
        request = {"NextToken": token}


def _row(row: Element) -> dict[str, str]:
    return {cell.tag: cell.text or "" for cell in row}
