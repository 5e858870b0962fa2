"""ECS's read-only operations, for clients that look at the tasks behind jobs, and the task metadata endpoint."""
