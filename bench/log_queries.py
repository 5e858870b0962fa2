"""What queries of Logs Insights cost over the output of jobs: `python -m bench.log_queries [LINES]` prints the CPU
seconds of each over so many lines (default a million) in 20 streams."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import cast

from batchyard.evaluators.insights.plan import plan_query
from batchyard.observe.log_catalogue import JobStream, LogCatalogue
from batchyard.observe.log_queries import LogQuery, QueryScope

STREAMS = 20
START_MS = 1_700_000_000_000
QUERIES = (
    "filter @message like /ERROR/ | sort @timestamp desc | limit 20",
    "stats count(*) by bin(5m)",
    "parse @message 'took * ms' as ms | stats avg(ms), max(ms) by bin(1m)",
    "parse @message /loss (?<loss>[0-9.]+)/ | stats avg(loss), pct(loss, 95), count(*) by bin(5m)",
    "fields @timestamp, @message | sort @timestamp desc | limit 20",
    "parse @message 'took * ms' as ms | filter ms > 90 | stats count(*) by ms",
    "parse @message 'level=* ' as level | dedup level",
    "pattern @message",
)


class _Page:
    cursor = None

    def __init__(self, streams: list[JobStream]) -> None:
        self.streams = streams


class _Catalogue:
    """A catalogue of one group."""

    def __init__(self, streams: list[JobStream]) -> None:
        self._page = _Page(streams)

    def streams(self, *_: object, **__: object) -> _Page:
        return self._page


def write_streams(directory: Path, lines: int) -> list[JobStream]:
    streams = []
    for number in range(STREAMS):
        path = directory / f"{number}.log"
        with path.open("w") as file:
            for at in range(lines // STREAMS):
                level = "ERROR" if at % 1000 == 0 else "INFO"
                text = f"step {at} worker {at % 8} loss {at * 0.001:.4f} level={level} took {at % 97} ms"
                file.write(f"{START_MS + at * STREAMS + number}\t{text}\n")
        streams.append(JobStream(f"s{number}", 1, "task", "job", path, True))
    return streams


def main(lines: int) -> None:
    with tempfile.TemporaryDirectory() as made:
        catalogue = cast(LogCatalogue, _Catalogue(write_streams(Path(made), lines)))
        for text in QUERIES:
            plan = plan_query(text, now_ms=START_MS)
            query = LogQuery("1", QueryScope(("/group",), 0, 2 * START_MS, text, 10_000), plan, START_MS)
            start = time.process_time()
            query.run(catalogue, "1")
            seconds = time.process_time() - start
            print(f"{seconds:.2f} s of CPU, {query.status}, {len(query.rows)} rows: {text}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
