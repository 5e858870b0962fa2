"""Actions on the jobs of a queue, or of all queues, which another machine reports to that of jobs; and its answer."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

EVERY_QUEUE = "*"


class QueueAction(StrEnum):
    CANCEL = "cancel"  # what waits ends; what runs goes on, and is not tried again
    TERMINATE = "terminate"  # what runs ends too
    DISABLE = "disable"  # the queue takes no more jobs


class ActOnQueue(Struct, frozen=True):
    """A report to the machine of jobs. `token`: comes back in the answer."""

    action: QueueAction
    queue: str
    reason: str
    token: str


class QueueActionDone(Struct, frozen=True):
    """The answer. `count`: jobs that were cancelled or terminated, children counted singly; of a disabled queue 0.
    `error`: why nothing was done."""

    action: QueueAction
    queue: str
    token: str
    count: int
    error: str = ""
