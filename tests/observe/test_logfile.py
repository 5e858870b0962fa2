"""The log reader: pages of whole lines, forward and backward, by offset and by time."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchyard.engines.base import CUT_MARK
from batchyard.observe import logfile
from batchyard.observe.logfile import LogFile, Page


def write(path: Path, lines: list[tuple[int, str]], tail: str = "") -> Path:
    path.write_bytes("".join(f"{at}\t{text}\n" for at, text in lines).encode() + tail.encode())
    return path


def texts(page: Page) -> list[str]:
    return [line.text for line in page.lines]


def test_a_file_that_does_not_exist_is_empty(tmp_path: Path) -> None:
    with LogFile(tmp_path / "none.log") as log:
        assert log.forward(0) == Page([], 0, 0)
        assert log.forward(10**60) == Page([], 0, 0)
        assert log.backward(log.end) == Page([], 0, 0)
        assert log.first() is None
        assert log.last() is None


def test_an_unfinished_last_line_waits_for_its_end(tmp_path: Path) -> None:
    path = write(tmp_path / "a.log", [(1, "one"), (2, "two")], tail="3\tthr")
    with LogFile(path) as log:
        page = log.forward(0)
        assert [(line.at_ms, line.text) for line in page.lines] == [(1, "one"), (2, "two")]
        assert log.last() == page.lines[-1]
        assert log.forward(page.stop) == Page([], page.stop, page.stop)
    with path.open("ab") as more:
        more.write(b"ee\n")
    with LogFile(path) as log:
        assert texts(log.forward(page.stop)) == ["three"]


def test_pages_forward_and_backward_meet(tmp_path: Path) -> None:
    lines = [(1000 + i, f"line {i}") for i in range(10)]
    with LogFile(write(tmp_path / "a.log", lines)) as log:
        first = log.forward(0, limit=4)
        second = log.forward(first.stop, limit=4)
        assert texts(first) + texts(second) == [text for _, text in lines[:8]]
        assert log.backward(second.start, limit=4) == first
        newest = log.backward(log.end, limit=3)
        assert texts(newest) == ["line 7", "line 8", "line 9"]
        assert newest.stop == log.end


def test_an_offset_inside_a_line_means_the_next_line(tmp_path: Path) -> None:
    with LogFile(write(tmp_path / "a.log", [(1, "one"), (2, "two")])) as log:
        assert texts(log.forward(1)) == ["two"]
        assert texts(log.forward(6)) == ["two"]
        assert texts(log.forward(7)) == []
        assert texts(log.backward(5)) == ["one"]


def test_a_page_is_bounded_by_bytes_and_never_stuck_on_a_long_line(tmp_path: Path) -> None:
    lines = [(1, "a" * 500), (2, "b" * 3000), (3, "c" * 500)]
    with LogFile(write(tmp_path / "a.log", lines)) as log:
        seen: list[str] = []
        offset = 0
        while (page := log.forward(offset, limit_bytes=1000)).lines:
            assert len(page.lines) == 1
            seen += texts(page)
            offset = page.stop
        assert seen == [text for _, text in lines]
        assert texts(log.backward(log.end, limit_bytes=1000)) == [lines[2][1]]


def test_a_time_range_includes_its_start_and_excludes_its_end(tmp_path: Path) -> None:
    lines = [(at, f"{at}/{n}") for at in (10, 20, 20, 30, 40) for n in range(2)]
    with LogFile(write(tmp_path / "a.log", lines)) as log:
        wanted = [text for at, text in lines if 20 <= at < 40]
        assert texts(log.forward(0, start_ms=20, end_ms=40)) == wanted
        assert texts(log.backward(log.end, start_ms=20, end_ms=40)) == wanted
        assert texts(log.forward(0, start_ms=41)) == []
        assert log.forward(0, start_ms=41).stop == log.end


def test_the_mark_of_a_cut_is_a_line_like_others(tmp_path: Path) -> None:
    with LogFile(write(tmp_path / "a.log", [(1, "head"), (5, CUT_MARK), (9, "tail")])) as log:
        assert texts(log.forward(0)) == ["head", CUT_MARK, "tail"]


def test_a_torn_line_is_shown_with_the_time_before_it(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"10\tone\n11\ttwo\n1\xff torn without a time\n13\tfour\xff\n")
    with LogFile(path) as log:
        page = log.forward(0)
        assert [line.at_ms for line in page.lines] == [10, 11, 11, 13]
        assert texts(page)[2:] == ["1\ufffd torn without a time", "four\ufffd"]
        assert texts(log.forward(0, start_ms=12)) == ["four\ufffd"]


def test_texts_keep_tabs_carriage_returns_and_emptiness(tmp_path: Path) -> None:
    lines = [(1, ""), (2, "a\tb"), (3, "50%\r100%"), (4, "ünï\u2028code")]
    with LogFile(write(tmp_path / "a.log", lines)) as log:
        assert texts(log.forward(0)) == [text for _, text in lines]
        assert texts(log.backward(log.end)) == [text for _, text in lines]


log_lines = st.lists(
    st.tuples(st.integers(0, 3), st.text(st.characters(blacklist_characters="\n", codec="utf-8"), max_size=12))
)


@given(
    steps=log_lines, limit=st.integers(1, 4), low=st.integers(0, 20), span=st.integers(0, 20), block=st.integers(1, 9)
)
@settings(max_examples=60, deadline=None)
def test_paging_gives_every_line_once(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[int, str]],
    limit: int,
    low: int,
    span: int,
    block: int,
) -> None:
    """Whatever the block size, the page size and the range: pages forward and pages backward give what a plain
    reading of the file gives."""
    at, lines = 0, []
    for step, text in steps:
        at += step
        lines.append((at, text))
    path = write(tmp_path_factory.mktemp("log") / "a.log", lines, tail="99")
    wanted = [text for at, text in lines if low <= at < low + span]
    with pytest.MonkeyPatch.context() as patch, LogFile(path) as log:
        patch.setattr(logfile, "BLOCK_BYTES", block)
        patch.setattr(logfile, "SHORT_BYTES", 1)
        forward: list[str] = []
        offset = 0
        while (page := log.forward(offset, start_ms=low, end_ms=low + span, limit=limit)).lines:
            forward += texts(page)
            offset = page.stop
        backward: list[str] = []
        offset = log.end
        while (page := log.backward(offset, start_ms=low, end_ms=low + span, limit=limit)).lines:
            backward = texts(page) + backward
            offset = page.start
    assert forward == wanted
    assert backward == wanted
