"""Searching many log files at once: the order of time, pages, and bounded work."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchyard.evaluators.logs.filter_pattern import compile_pattern
from batchyard.observe.logsearch import LINES_BETWEEN_LOOKS, Cursor, SearchPage, Stream, search


def stream(directory: Path, name: str, lines: list[tuple[int, str]]) -> Stream:
    path = directory / f"{name}.log"
    path.write_text("".join(f"{at}\t{text}\n" for at, text in lines))
    return Stream(name, path)


def texts(page: SearchPage) -> list[str]:
    return [found.line.text for found in page.events]


def everything(_: str) -> bool:
    return True


def test_streams_are_interleaved_by_time(tmp_path: Path) -> None:
    streams = [
        stream(tmp_path, "b", [(2, "b2"), (4, "b4")]),
        stream(tmp_path, "a", [(1, "a1"), (4, "a4"), (9, "a9")]),
        Stream("silent", tmp_path / "none.log"),
    ]
    page = search(streams, everything)
    assert texts(page) == ["a1", "b2", "a4", "b4", "a9"]
    assert page.cursor is None
    assert texts(search(streams, everything, start_ms=2, end_ms=9)) == ["b2", "a4", "b4"]
    assert texts(search(streams, compile_pattern("?a4 ?b2"))) == ["b2", "a4"]


def test_a_search_for_a_rare_term_stops_after_its_share_of_work(tmp_path: Path) -> None:
    lines = [(at, "hay") for at in range(200)]
    lines[150] = (150, "needle")
    streams = [stream(tmp_path, "a", lines)]
    matches = compile_pattern("needle")
    found: list[str] = []
    pages = 0
    after: Cursor | None = None
    while True:
        page = search(streams, matches, after=after, scan_bytes=1000)
        found += texts(page)
        pages += 1
        if page.cursor is None:
            break
        assert page.cursor != after
        after = page.cursor
    assert found == ["needle"]
    assert pages > 3


def test_a_search_ends_in_time_and_goes_on_where_it_was(tmp_path: Path) -> None:
    streams = [stream(tmp_path, "a", [(at, "hay") for at in range(2 * LINES_BETWEEN_LOOKS)])]
    seconds = iter(range(0, 10**6, 10))  # every look finds the time over
    page = search(streams, compile_pattern("needle"), clock=lambda: float(next(seconds)))
    assert page.events == []
    assert page.cursor is not None
    assert page.cursor.at_ms == LINES_BETWEEN_LOOKS - 1
    assert search(streams, compile_pattern("needle"), after=page.cursor).cursor is None


def test_lines_written_after_a_page_come_with_the_next(tmp_path: Path) -> None:
    streams = [stream(tmp_path, "a", [(1, "a1"), (3, "a3")]), stream(tmp_path, "b", [(2, "b2")])]
    page = search(streams, everything, limit=2)
    assert texts(page) == ["a1", "b2"]
    with streams[1].path.open("a") as more:
        more.write("5\tb5\n")
    assert texts(search(streams, everything, after=page.cursor)) == ["a3", "b5"]


times = st.lists(st.integers(0, 6), max_size=8).map(sorted)


@given(logs=st.lists(times, max_size=4), limit=st.integers(1, 5), start=st.none() | st.integers(0, 6))
@settings(max_examples=60, deadline=None)
def test_pages_give_each_line_once_in_order(
    tmp_path_factory: pytest.TempPathFactory, logs: list[list[int]], limit: int, start: int | None
) -> None:
    directory = tmp_path_factory.mktemp("logs")
    streams = [
        stream(directory, f"s{n}", [(at, f"{at}/s{n}/{i}") for i, at in enumerate(log)]) for n, log in enumerate(logs)
    ]
    seen: list[str] = []
    after: Cursor | None = None
    while True:
        page = search(streams, everything, start_ms=start, after=after, limit=limit)
        assert len(page.events) <= limit
        seen += texts(page)
        if page.cursor is None:
            break
        after = page.cursor
    wanted = sorted((at, f"s{n}", i) for n, log in enumerate(logs) for i, at in enumerate(log))
    assert seen == [f"{at}/{name}/{i}" for at, name, i in wanted if start is None or at >= start]
