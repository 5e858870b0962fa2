"""Templates: the Jinja2 environment, which escapes everything, and how pages show times, amounts and states."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from batchyard.console.site import HTML, ROOT, Answer, PageRequest, Site, url_of
from batchyard.core.model.records import Status
from batchyard.version import VERSION

HERE = Path(__file__).parent
STATIC = HERE / "static"
CONTENT_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS = 1000, 60_000, 3_600_000, 86_400_000
LATEST_MS = 253_402_300_799_000  # the last second that a date can name
ARN_PARTS = 6


def static_files() -> dict[str, tuple[str, bytes]]:
    """Returns the static files by name: content type and content."""
    return {path.name: (CONTENT_TYPES[path.suffix], path.read_bytes()) for path in sorted(STATIC.iterdir())}


STATIC_FILES = static_files()
# In the address of each static file, so that browsers keep it for ever and never take one of another version.
STATIC_HASH = hashlib.blake2b(b"".join(body for _, body in STATIC_FILES.values()), digest_size=8).hexdigest()


# -- what templates say --


def static_url(name: str) -> str:
    assert name in STATIC_FILES, f"there is no static file {name}"
    return f"{ROOT}static/{STATIC_HASH}/{name}"


def when(at_ms: int | None) -> Markup:
    """A moment: in UTC, which a script turns into the reader's zone."""
    if not at_ms:
        return Markup("–")
    moment = datetime.fromtimestamp(min(at_ms, LATEST_MS) / 1000, UTC)
    machine = moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at_ms % 1000:03d}Z"
    shown = moment.strftime("%Y-%m-%d %H:%M:%S")
    return Markup('<time datetime="{}" title="{} UTC">{} UTC</time>').format(machine, shown, shown)


def from_seconds(at_seconds: float) -> int:
    """Milliseconds, of a time or an amount in seconds."""
    return round(at_seconds * 1000)


def ago(at_ms: int | None, now_ms: int) -> Markup:
    """How long ago a moment was, which a script keeps true."""
    if not at_ms:
        return Markup("–")
    moment = datetime.fromtimestamp(min(at_ms, LATEST_MS) / 1000, UTC)
    machine = moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at_ms % 1000:03d}Z"
    shown = moment.strftime("%Y-%m-%d %H:%M:%S")
    age = duration(now_ms - at_ms)
    return Markup('<time data-ago datetime="{}" title="{} UTC">{}</time>').format(machine, shown, age)


def duration(milliseconds: int | None) -> str:
    """An amount of time with its two largest units, such as `3.1 s`, `12 min 4 s` or `2 d 3 h`."""
    if milliseconds is None:
        return "–"
    ms = max(0, milliseconds)
    if ms < SECOND_MS:
        return f"{ms} ms"
    if ms < MINUTE_MS:
        return f"{ms / SECOND_MS:.1f} s" if ms < 10 * SECOND_MS else f"{ms // SECOND_MS} s"
    units = ((DAY_MS, "d", HOUR_MS, "h"), (HOUR_MS, "h", MINUTE_MS, "min"), (MINUTE_MS, "min", SECOND_MS, "s"))
    for large, name, small, small_name in units:
        if ms >= large:
            rest = ms % large // small
            return f"{ms // large} {name}" + (f" {rest} {small_name}" if rest else "")
    raise AssertionError("it is shorter than a minute")


def number(value: float | None) -> str:
    """A number with thousands apart; `1000+` for one that was counted no further."""
    return "–" if value is None else f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


def counted(value: int, noun: str) -> str:
    """A number of things: `1 job`, `2,000 jobs`."""
    return f"{value:,} {noun}" if value == 1 else f"{value:,} {noun}s"


def vcpus(value: float | None) -> str:
    """An amount of processors: `1 vCPU`, `0.5 vCPUs`."""
    return "–" if value is None else f"{number(value)} vCPU" if value == 1 else f"{number(value)} vCPUs"


def mib(value: float | None) -> str:
    """An amount of memory, given in MiB."""
    if value is None:
        return "–"
    return f"{value / 1024:.1f} GiB".replace(".0 ", " ") if value >= 1024 else f"{value:g} MiB"


def last_part(arn: str) -> str:
    """The name in an ARN: `arn:...:job-queue/hi` is `hi`; a name is itself."""
    return arn.split(":", ARN_PARTS - 1)[-1].partition("/")[2] or arn if arn.startswith("arn:") else arn


def pretty(value: object) -> str:
    """A document as JSON, indented."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def job_url(job_id: str, below: str = "") -> str:
    return url_of(f"jobs/{job_id}{below}")


def state_class(status: str) -> str:
    """The class that colours a state; what is no state of a job has that of one which means the same."""
    alike = {"ACTIVE": "succeeded", "VALID": "succeeded", "ENABLED": "succeeded", "READY": "running", "OK": "succeeded"}
    alike |= {"INVALID": "failed", "ALARM": "failed", "DISABLED": "pending", "INACTIVE": "pending"}
    alike |= {
        "LAUNCHING": "starting",
        "DRAINING": "runnable",
        "TERMINATING": "runnable",
        "INSUFFICIENT_DATA": "pending",
        "TIMED_OUT": "failed",
        "ABORTED": "failed",
        "CAUGHT": "runnable",
    }
    known = {str(one) for one in Status}
    return status.lower() if status in known else alike.get(status, "pending")


class Missing(StrictUndefined):
    """A member that is not there: false in a condition, and an error where a template would show it."""

    def __bool__(self) -> bool:  # type: ignore[override]  # the base class is declared to raise
        return False


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader([HERE / "templates", HERE / "pages"]),
        autoescape=True,
        undefined=Missing,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    filters: Iterable[Any] = (
        *(when, from_seconds, duration, number, counted, vcpus, mib),
        *(last_part, pretty, state_class),
    )
    made.filters |= {one.__name__: one for one in filters}
    made.globals |= {
        "static": static_url,
        "url": lambda path="", **query: url_of(path, query),
        "job_url": job_url,
        "version": VERSION,
        "ago_at": ago,
        "states": [str(status) for status in Status],
    }
    return made


ENVIRONMENT = _environment()


def render(site: Site, request: PageRequest, template: str, *, status: int = 200, **values: Any) -> Answer:
    """Renders a page. Templates have, beside `values`: `request`, `visitor`, `now_ms`, `ago` and
    `may_write`."""
    now_ms = site.now_ms()
    shared = {
        "request": request,
        "visitor": request.visitor,
        "now_ms": now_ms,
        "ago": lambda at_ms: ago(at_ms, now_ms),
        "may_write": not request.visitor.is_read_only,
    }
    text = ENVIRONMENT.get_template(template).render(**shared, **values)
    return Answer(text.encode(), status, HTML)
