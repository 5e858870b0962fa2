"""When a job will start, and what that is known from."""

from __future__ import annotations

from msgspec import Struct

# The bases of a forecast, the surest first: run times of the same definitions; timeouts, which are upper bounds only;
# nothing.
HISTORY, TIMEOUT, UNKNOWN = "history", "timeouts", "unknown"
BASES = (HISTORY, TIMEOUT, UNKNOWN)
NOT_WAITING = "not waiting"  # the basis of a job that runs or has ended


class Forecast(Struct, frozen=True):
    """When a job starts, in ms from now: with 80 % from `low_ms` to `high_ms`. They are None where that is not known:
    `basis` is then `unknown`. `draws`: how many futures were played."""

    job_id: str
    basis: str
    draws: int
    low_ms: int | None = None
    middle_ms: int | None = None
    high_ms: int | None = None


class Forecasts(Struct, frozen=True):
    """Forecasts of the state at `as_of_ms`, in the order in which the jobs were asked about."""

    as_of_ms: int
    forecasts: list[Forecast]
