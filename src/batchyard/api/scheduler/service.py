"""EventBridge Scheduler: what is done once at a time, or again and again."""

from __future__ import annotations

from functools import partial

from batchyard.api.model_constraints import constraint_check
from batchyard.api.scheduler import groups, schedules
from batchyard.api.scheduler.requests import VALIDATION
from batchyard.api.service_descriptor import ServiceDescriptor

# Shapes whose values are refused in words of their own. A dead letter may go to a log group here.
ELSEWHERE = frozenset({"DeadLetterConfigArnString", "NextToken", "TagResourceArn"})

SERVICE = ServiceDescriptor(
    name="scheduler",
    title="EventBridge Scheduler",
    is_announced=True,
    is_model_whole=True,
    compile_check=partial(constraint_check, elsewhere=ELSEWHERE),
    invalid_code=VALIDATION,
    operations={
        "CreateSchedule": schedules.create_schedule,
        "UpdateSchedule": schedules.update_schedule,
        "DeleteSchedule": schedules.delete_schedule,
        "GetSchedule": schedules.get_schedule,
        "ListSchedules": schedules.list_schedules,
        "CreateScheduleGroup": groups.create_schedule_group,
        "GetScheduleGroup": groups.get_schedule_group,
        "ListScheduleGroups": groups.list_schedule_groups,
        "DeleteScheduleGroup": groups.delete_schedule_group,
        "TagResource": groups.tag_resource,
        "UntagResource": groups.untag_resource,
        "ListTagsForResource": groups.list_tags_for_resource,
    },
)
