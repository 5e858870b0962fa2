"""The loop: inbox -> machine -> commit -> effects."""

from batchyard.clock import Clock, SteadyClock
from batchyard.loop.loop import Busy, ChangeWriter, Loop, Stopped, Withdrawn

__all__ = ["Busy", "ChangeWriter", "Clock", "Loop", "SteadyClock", "Stopped", "Withdrawn"]
