"""A scan yields the lines of files and written streams newest first, and what it skips it counts."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchyard.observe.log_catalogue import EventStream, JobStream
from batchyard.observe.log_scan import Span, scan, scan_in_order
from batchyard.observe.logfile import LogFile
from batchyard.observe.packed_log import pack
from batchyard.store.logs.log_reader import LogReader
from batchyard.store.logs.log_records import LogEvent
from batchyard.store.logs.log_writer import LogWriter

TEXT = st.text("ab\u00e9 ", max_size=8)
LINES = st.lists(st.tuples(st.integers(0, 3), TEXT), max_size=25)


def stream_of(path: Path, lines: list[tuple[int, str]], at_ms: int = 100) -> tuple[JobStream, list[tuple[int, str]]]:
    """A stream with these lines, each so many milliseconds after the one before; and the lines with their times."""
    found = []
    for step, text in lines:
        at_ms += step
        found.append((at_ms, text))
    path.write_text("".join(f"{at}\t{text}\n" for at, text in found))
    return JobStream(path.name, 1, "t", "j", path, True), found


@settings(max_examples=80)
@given(
    lines=LINES,
    block=st.integers(1, 50),
    start=st.integers(95, 130),
    length=st.integers(0, 30),
    needle=st.sampled_from(["", "a", "\u00e9", "bb"]),
    packs=st.booleans(),
    began=st.sampled_from([0, 1_700_000_000_000]),
)
def test_a_file_is_scanned_as_its_lines_say(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[tuple[int, str]],
    block: int,
    start: int,
    length: int,
    needle: str,
    packs: bool,
    began: int,
) -> None:
    start += began
    stream, found = stream_of(tmp_path_factory.mktemp("logs") / "a.log", lines, began + 100)
    if packs:
        pack(stream.path)
    span = Span(start, start + length, [needle] if needle else [])
    lines_scanned = list(scan(stream, span, block))
    scanned = [(at, text) for at, _, _, text in lines_scanned]
    with LogFile(stream.path) as log:
        places = {place: (at, text) for at, place, _, text in lines_scanned}
        assert {line.start: (line.at_ms, line.text) for line in log.lines(0) if line.start in places} == places
    inside = [(at, text) for at, text in found if start <= at < start + length]
    assert scanned == [(at, text) for at, text in reversed(inside) if needle in text]
    assert span.skipped.lines == sum(needle not in text for _, text in inside)


@settings(max_examples=30)
@given(several=st.lists(LINES, max_size=5))
def test_streams_are_merged_newest_first(
    tmp_path_factory: pytest.TempPathFactory, several: list[list[tuple[int, str]]]
) -> None:
    directory = tmp_path_factory.mktemp("logs")
    made = [stream_of(directory / f"{number}.log", lines) for number, lines in enumerate(several)]
    scanned = [
        (line[0], stream.name, line[3]) for stream, line in scan_in_order([one for one, _ in made], Span(0, 1000))
    ]
    assert [at for at, *_ in scanned] == sorted((at for _, found in made for at, _ in found), reverse=True)
    for stream, found in made:
        assert [(at, text) for at, name, text in scanned if name == stream.name] == found[::-1]


def test_written_events_are_scanned_alike(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "logs.db", lambda: 5)
    writer.open()
    events = [LogEvent(at, f"{at} {'even' if at % 2 == 0 else 'odd'}") for at in range(20)]
    writer.append("/g", "s", events, creates=True).result()
    reader = LogReader(tmp_path / "logs.db")
    found = reader.stream("/g", "s")
    assert found is not None
    span = Span(4, 10, ["even"])
    assert [line[3] for line in scan(EventStream(found, reader), span)] == ["8 even", "6 even", "4 even"]
    assert span.skipped.lines == 3
    reader.close()
    writer.close()


def test_a_scan_ends_when_it_may_not_go_on(tmp_path: Path) -> None:
    stream, _ = stream_of(tmp_path / "a.log", [(1, "x" * 20)] * 50)
    blocks = iter([True, True, False])
    span = Span(0, 1000, keep_going=lambda: next(blocks))
    assert 0 < len(list(scan(stream, span, 100))) < 50
