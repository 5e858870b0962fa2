"""A packed log file reads as the log file did: the same pages for the same offsets and times."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchyard.observe import packed_log
from batchyard.observe.logfile import LogFile
from batchyard.observe.packed_log import pack, packed_path, remove_log

LINES = st.lists(
    st.tuples(st.integers(0, 3), st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]))),
    max_size=30,
)


def written(path: Path, lines: list[tuple[int, str]]) -> int:
    """Returns the time of the last line."""
    at_ms = 1000
    with path.open("w", newline="") as file:
        for step, text in lines:
            at_ms += step
            file.write(f"{at_ms}\t{text}\n")
    return at_ms


@settings(max_examples=60)
@given(
    lines=LINES,
    block=st.integers(1, 60),
    offset=st.integers(0, 400),
    start=st.integers(-1, 60),
    limit=st.integers(1, 9),
)
def test_pages_are_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[tuple[int, str]],
    block: int,
    offset: int,
    start: int,
    limit: int,
) -> None:
    path = tmp_path_factory.mktemp("logs") / "a.log"
    written(path, lines)
    original = packed_log.BLOCK_BYTES
    packed_log.BLOCK_BYTES = block  # type: ignore[misc]
    times = {"start_ms": 1000 + start, "end_ms": 1000 + start + 20}
    try:
        with LogFile(path) as log:
            end = log.end
            before = [
                log.forward(offset, limit=limit),
                log.backward(offset, limit=limit),
                log.forward(0, limit=limit, **times),
                log.backward(end, limit=limit, **times),
                log.first(),
                log.last(),
            ]
        pack(path)
    finally:
        packed_log.BLOCK_BYTES = original  # type: ignore[misc]
    assert not path.exists()
    with LogFile(path) as log:
        assert log.end == end
        after = [
            log.forward(offset, limit=limit),
            log.backward(offset, limit=limit),
            log.forward(0, limit=limit, **times),
            log.backward(end, limit=limit, **times),
            log.first(),
            log.last(),
        ]
    assert after == before


def test_a_packed_log_is_small_keeps_its_time_and_can_be_removed(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    written(path, [(1, f"step {number}: loss 0.1234") for number in range(20_000)])
    os.utime(path, (5, 5))
    size = path.stat().st_size
    assert pack(path) > size * 3 // 4
    assert packed_path(path).stat().st_mtime == 5
    assert sorted(found.name for found in tmp_path.iterdir()) == ["a.log.z"]
    remove_log(path)
    assert pack(path) == 0
    with LogFile(path) as log:
        assert log.first() is None
