"""Delivery policies of HTTP subscriptions: how often and when a message is tried again (observability spec 8.3)."""

from __future__ import annotations

import math
from typing import Any

from msgspec import DecodeError, json

from batchyard.core.model.deliveries import DeliveryPolicy
from batchyard.core.model.refusal import Refused

MAX_RETRIES = 100  # SNS: sns-message-delivery-retries, here and below
MAX_DELAY_SECONDS = 3600
MAX_TOTAL_SECONDS = 3600
DEFAULT: dict[str, Any] = {
    "minDelayTarget": 20,
    "maxDelayTarget": 20,
    "numRetries": 3,
    "numMaxDelayRetries": 0,
    "numNoDelayRetries": 0,
    "numMinDelayRetries": 0,
    "backoffFunction": "linear",
}
FUNCTIONS = ("linear", "arithmetic", "geometric", "exponential")


def delivery_policy(of_subscription: str, of_topic: str) -> DeliveryPolicy:
    """Returns the policy of a subscription from its DeliveryPolicy and its topic's, as texts; empty: there is none."""
    own = read_policy(of_subscription).get("healthyRetryPolicy")
    common = (read_policy(of_topic).get("http") or {}).get("defaultHealthyRetryPolicy")
    retry = {**DEFAULT, **(own or common or {})}
    return DeliveryPolicy(retry["numRetries"], 2 * MAX_TOTAL_SECONDS, pauses(retry))


def read_policy(text: str) -> dict[str, Any]:
    """Returns a DeliveryPolicy as JSON values. Raises Refused for one that is none."""
    try:
        found = json.decode(text or "{}")
    except DecodeError:
        found = None
    if not isinstance(found, dict):
        raise Refused("Invalid parameter: DeliveryPolicy: it must be a JSON object.", "InvalidParameter")
    return found


def check_retry_policy(retry: dict[str, Any], member: str) -> None:
    """Refuses a retry policy that is beyond SNS's bounds. `member`: where it stands."""
    merged = {**DEFAULT, **retry}
    counts = ("numRetries", "numMaxDelayRetries", "numNoDelayRetries", "numMinDelayRetries")
    low, high = merged["minDelayTarget"], merged["maxDelayTarget"]
    if not all(
        isinstance(merged[name], int) and merged[name] >= 0 for name in (*counts, "minDelayTarget", "maxDelayTarget")
    ):
        raise _invalid(f"{member}: its numbers must be whole and not negative.")
    if merged["numRetries"] > MAX_RETRIES:
        raise _invalid(f"{member}.numRetries must be at most {MAX_RETRIES}.")
    if not 1 <= low <= high <= MAX_DELAY_SECONDS:
        raise _invalid(f"{member}: minDelayTarget and maxDelayTarget must be 1 to {MAX_DELAY_SECONDS}, in this order.")
    if sum(merged[name] for name in counts[1:]) > merged["numRetries"]:
        raise _invalid(f"{member}: its parts have more retries together than numRetries.")
    if merged["backoffFunction"] not in FUNCTIONS:
        raise _invalid(f"{member}.backoffFunction must be one of {', '.join(FUNCTIONS)}.")
    if sum(pauses(merged)) > MAX_TOTAL_SECONDS:
        raise _invalid(f"{member}: all retries together must not take more than {MAX_TOTAL_SECONDS} seconds.")


def pauses(retry: dict[str, Any]) -> tuple[int, ...]:
    """Returns the pauses before each retry, in seconds: those without delay, with the least, growing, with the most."""
    none, least, most = (retry[f"num{kind}DelayRetries"] for kind in ("No", "Min", "Max"))
    growing = max(0, retry["numRetries"] - none - least - most)
    low, high = retry["minDelayTarget"], retry["maxDelayTarget"]
    steps = [_grown(retry["backoffFunction"], low, high, (number + 1) / (growing + 1)) for number in range(growing)]
    return (*[0] * none, *[low] * least, *steps, *[high] * most)


def _grown(function: str, low: int, high: int, part: float) -> int:
    """Returns the delay at a `part` of the way from `low` to `high`."""
    if function == "geometric":
        return round(low * math.pow(high / low, part))
    if function == "exponential":
        part = (2.0 ** (8 * part) - 1) / (2.0**8 - 1)
    if function == "arithmetic":
        part = part * part
    return round(low + (high - low) * part)


def _invalid(message: str) -> Refused:
    return Refused(f"Invalid parameter: DeliveryPolicy: {message}", "InvalidParameter")
