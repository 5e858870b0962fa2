"""ECS's read-only operations, for clients that inspect the tasks behind jobs, and the task metadata endpoint."""
