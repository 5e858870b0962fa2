"""Why a task, or one of its containers, could not be started: an exception within an engine, a report outside of it."""

from __future__ import annotations

CANNOT_START = "CannotStartContainerError"  # how the reason of such a report begins: ECS's word
NOT_FOUND_EXIT_CODE, NOT_EXECUTABLE_EXIT_CODE = 127, 126  # of a program, as shells and Docker have it


class CannotStart(Exception):
    """`reason` (also `str()`): what could not be done, why, and the remedy. `container`: which of the task's, where
    there are several. `exit_code`: None where there is none."""

    def __init__(self, reason: str, container: str = "", exit_code: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.container = container
        self.exit_code = exit_code
