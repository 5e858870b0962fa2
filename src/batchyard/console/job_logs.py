"""The output of a job as pages of lines: the last ones, earlier and later ones, and what a search finds."""

from __future__ import annotations

from markupsafe import Markup
from msgspec import Struct

from batchyard.api.context import Context
from batchyard.console.ansi import line_html, plain
from batchyard.core.model import names
from batchyard.core.model.records import Attempt, ContainerLog, log_file_container, logs_of
from batchyard.observe.logfile import Line, LogFile, log_path
from batchyard.store.queries import JobView, check_time

LAST_LINES = 1000  # of the page without script: enough for an end, and some 100 KB
CHUNK_LINES = 200  # rendered only when they are near the screen (content-visibility)
MAX_HITS = 200  # shown of a search; the count is of the whole output
MAX_QUERY_CHARACTERS = 200
LINES_BETWEEN_LOOKS = 4096  # at the time that a search may take


class ShownLine(Struct, frozen=True):
    """`offset`: where it begins, which names it in addresses."""

    offset: int
    at_ms: int
    html: Markup


class LogPart(Struct, frozen=True):
    """A part of one container's output. `start`, `stop`: its offsets; `size`: of the whole, in bytes. `hits`: of a
    search, counted in the whole; None: it is no search."""

    chunks: list[list[ShownLine]]
    start: int
    stop: int
    size: int
    hits: int | None = None

    @property
    def count(self) -> int:
        return sum(len(chunk) for chunk in self.chunks)


class LogPlace(Struct, frozen=True):
    """One container's output in one attempt. `is_ended`: no more will come."""

    view: JobView
    number: int
    log: ContainerLog
    is_ended: bool

    @property
    def stream(self) -> str:
        """The name of its log stream."""
        return names.log_stream(self.log.prefix, self.view.task_id(self.number), self.log.container)

    def open(self, context: Context) -> LogFile:
        container = log_file_container(self.view.spec, self.log.container)
        return LogFile(log_path(context.logs_directory, self.view.task_id(self.number), container))


def attempts_of(view: JobView) -> list[Attempt]:
    """Returns the attempts that ran or run, oldest first."""
    placed = [view.job.attempt] if view.job.attempt is not None else []
    return [attempt for attempt in (*view.job.past, *placed) if attempt.started_at_ms]


def find_place(view: JobView, number: str = "", container: str = "") -> LogPlace | None:
    """Returns the output of an attempt (empty: the latest) and container (empty: the first); None: there is none."""
    attempts = attempts_of(view)
    chosen = next((one for one in attempts if str(one.number) == number), attempts[-1] if attempts else None)
    if chosen is None or view.job.array is not None:
        return None
    logs = logs_of(view.spec)
    log = next((one for one in logs if one.container == container), logs[0])
    return LogPlace(view, chosen.number, log, bool(chosen.stopped_at_ms))


def read_last(context: Context, place: LogPlace, before: int | None = None) -> LogPart:
    """Returns the last lines, or those before an offset."""
    with place.open(context) as log:
        page = log.backward(log.end if before is None else before, limit=LAST_LINES)
        return LogPart(_chunks(page.lines), page.start, page.stop, log.end)


def read_after(context: Context, place: LogPlace, after: int) -> LogPart:
    """Returns the lines from an offset on."""
    with place.open(context) as log:
        page = log.forward(after, limit=LAST_LINES)
        return LogPart(_chunks(page.lines), page.start, page.stop, log.end)


def search(context: Context, place: LogPlace, text: str) -> LogPart:
    """Returns the lines that contain a text, in any case. Raises OutOfTime."""
    wanted = text[:MAX_QUERY_CHARACTERS].lower()
    hits = 0
    shown: list[Line] = []
    with place.open(context) as log:
        for number, line in enumerate(log.lines(0)):
            if number % LINES_BETWEEN_LOOKS == 0:
                check_time()
            if wanted in line.text.lower():
                hits += 1
                if len(shown) < MAX_HITS:
                    shown.append(line)
        return LogPart(_chunks(shown), 0, log.end, log.end, hits)


def last_line(context: Context, place: LogPlace) -> str:
    """Returns the last line that is not empty, of the last few."""
    with place.open(context) as log:
        lines = log.backward(log.end, limit=10).lines
    return next((text for line in reversed(lines) if (text := plain(line.text).strip())), "")


def last_lines(context: Context, place: LogPlace, limit: int) -> str:
    with place.open(context) as log:
        return "\n".join(plain(line.text) for line in log.backward(log.end, limit=limit).lines)


def _chunks(lines: list[Line]) -> list[list[ShownLine]]:
    shown = [ShownLine(line.start, line.at_ms, line_html(line.text)) for line in lines]
    return [shown[start : start + CHUNK_LINES] for start in range(0, len(shown), CHUNK_LINES)]
