"""The kinds of documents that hold the world's state."""

from batchyard.core.model.consumable_records import ConsumableResource
from batchyard.core.model.documents import register
from batchyard.core.model.host_records import JoinedHost, JoinToken
from batchyard.core.model.records import EndedInstance, Instance, QueueHead, SchedulingPolicy, ShareUsage

INSTANCE = register("instance", Instance)
ENDED_INSTANCE = register("ended-instance", EndedInstance)
SCHEDULING_POLICY = register("scheduling-policy", SchedulingPolicy)
SHARE_USAGE = register("share-usage", ShareUsage)
QUEUE_HEAD = register("queue-head", QueueHead)
JOIN_TOKEN = register("join-token", JoinToken)
JOINED_HOST = register("joined-host", JoinedHost)
CONSUMABLE_RESOURCE = register("consumable-resource", ConsumableResource)
