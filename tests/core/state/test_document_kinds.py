"""The stored names of the documents that hold the world's state never change."""

from batchyard.core.model import documents, records
from batchyard.core.state import document_kinds as kinds


def test_the_kinds_and_what_they_hold() -> None:
    assert {
        "instance": records.Instance,
        "ended-instance": records.EndedInstance,
        "scheduling-policy": records.SchedulingPolicy,
        "share-usage": records.ShareUsage,
        "queue-head": records.QueueHead,
    } == {
        kind: documents.record_type(kind)
        for kind in (
            kinds.INSTANCE,
            kinds.ENDED_INSTANCE,
            kinds.SCHEDULING_POLICY,
            kinds.SHARE_USAGE,
            kinds.QUEUE_HEAD,
        )
    }
