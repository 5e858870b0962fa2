"""What pages are made of: lines with colours, cells, graphs, filters and submissions."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.console.ansi import MAX_LINE_CHARACTERS, line_html, plain
from batchyard.console.graph import Node, draw
from batchyard.console.grid import Grid, grid_of
from batchyard.console.submission import as_boto3, as_cli, fields_of, request_of
from batchyard.console.tokens import BadFilter, read_filter, split_words
from batchyard.core.model.records import Status
from tests.store.samples import patient

NOW_MS = 1_700_000_000_000

# -- lines --


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("plain & <b>", "plain &amp; &lt;b&gt;"),
        ("\x1b[31mred\x1b[0m rest", '<span class="a31">red</span> rest'),
        ("\x1b[1;32mgo\x1b[22m on", '<span class="a1 a32">go</span><span class="a32"> on</span>'),
        ("\x1b[38;5;196mx\x1b[39my", "xy"),
        ("\x1b[38;2;1;2;3;4mx", '<span class="a4">x</span>'),
        ("\x1b]8;;javascript:alert(1)\x07click\x1b]8;;\x07", "click"),
        ("\x1b[2J\x1b[1;1Hhome", "home"),
        ("10%\r55%\r100%", "100%"),
        ("done\r", "done"),
        ("\x1b", ""),
        ("\x1bPq#0\x1b\\after", "after"),
        ("a\u202eb", "ab"),
        ("tab\there", "tab\there"),
    ],
)
def test_colours_are_classes_and_other_codes_are_dropped(text: str, html: str) -> None:
    assert line_html(text) == html


def test_only_web_addresses_are_links() -> None:
    html = line_html("see https://example.com/a?b=1&c=2. or javascript:alert(1) or data:x")
    assert html.count("<a ") == 1
    assert 'href="https://example.com/a?b=1&amp;c=2"' in html
    assert 'rel="noopener noreferrer nofollow"' in html


def test_long_lines_are_cut_and_say_so() -> None:
    html = line_html("x" * (MAX_LINE_CHARACTERS + 1234))
    assert len(html) < MAX_LINE_CHARACTERS + 100
    assert "1,234 characters more" in html


@patient
@given(st.text(st.sampled_from("\x1b[]0;mP\\\x07\x9b\r<>&\"'ahtps:/."), max_size=60))
def test_no_line_gets_out_of_its_text(text: str) -> None:
    rest = re.sub(
        r'<span class="(a\d+ ?)+">|</span>|<a href="[^"<>]*" rel="[a-z ]*" target="_blank">|</a>', "", line_html(text)
    )
    assert not re.search(r"[<>\x1b\x9b]", rest)
    assert "\x1b" not in plain(text)


# -- cells --


def painted(grid: Grid) -> dict[int, str]:
    """The state of each cell, from the paths."""
    found: dict[int, str] = {}
    for state, path in grid.paths.items():
        for x, y, width, height in re.findall(r"M(\d+) (\d+)h(\d+)v(\d+)h-\d+z", path):
            for row in range(int(y) // 10, (int(y) + int(height)) // 10):
                for column in range(int(x) // 10, (int(x) + int(width)) // 10):
                    found[row * grid.columns + column] = state
    return found


@patient
@given(st.lists(st.sampled_from(["SUCCEEDED", "FAILED", "RUNNING", "PENDING"]), min_size=1, max_size=700))
def test_each_cell_has_the_state_of_its_child(states: list[str]) -> None:
    ranges: dict[str, Any] = {}
    for index, state in enumerate(states):
        ranges.setdefault(state, []).append((index, index + 1))
    assert painted(grid_of(len(states), ranges)) == dict(enumerate(states))


def test_ten_thousand_cells_are_a_few_bytes() -> None:
    failed = tuple((index, index + 1) for index in range(42, 10_000, 233))
    rest, at = [], 0
    for start, stop in failed:
        rest.append((at, start))
        at = stop
    grid = grid_of(10_000, {"FAILED": failed, "SUCCEEDED": (*rest, (at, 10_000))})
    assert (grid.each, grid.columns, grid.rows) == (1, 100, 100)
    assert sum(map(len, grid.paths.values())) < 12_000


def test_a_cell_of_several_children_has_the_worst_of_their_states() -> None:
    grid = grid_of(
        1_000_000, {"SUCCEEDED": ((0, 1_000_000),), "FAILED": ((4711, 4712),), "RUNNING": ((0, 150), (4700, 4800))}
    )
    cells = painted(grid)
    assert (grid.each, cells[47], cells[0], cells[1], cells[2]) == (100, "FAILED", "RUNNING", "RUNNING", "SUCCEEDED")


# -- graphs --


def test_nodes_are_behind_all_that_they_follow() -> None:
    edges = [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"), ("a", "d"), ("d", "a"), ("x", "a")]
    drawing = draw([Node(name, name) for name in "dcba"], edges)
    place = {placed.node.id: (placed.x, placed.y) for placed in drawing.nodes}
    assert place["a"][0] < place["b"][0] == place["c"][0] < place["d"][0]
    assert len({*place.values()}) == 4
    assert len(drawing.edges) == 5, "neither the circle nor the unknown node"
    assert draw([Node("long", "n" * 40)], []).nodes[0].label.endswith("…")


# -- filters --


def test_words_of_the_filter() -> None:
    found = read_filter({"queue": "hi", "state": "failed,running", "tag": "team=a=b", "since": "2h", "x": "y"}, NOW_MS)
    assert found.wanted.statuses == (Status.FAILED, Status.RUNNING)
    assert found.wanted.tag == ("team", "a=b")
    assert found.wanted.since_ms == NOW_MS - 7_200_000
    assert found.text == "queue:hi state:failed,running tag:team=a=b since:2h"
    assert split_words(found.text) == found.given
    assert found.with_(state="", name="x") == {"queue": "hi", "tag": "team=a=b", "since": "2h", "name": "x"}
    assert read_filter({"before": "2023-11-14T22:13"}, NOW_MS).wanted.before_ms == 1_699_999_980_000
    assert split_words("tag:'a b=c d'") == {"tag": "a b=c d"}


@pytest.mark.parametrize("words", ["colour:red", "'open"])
def test_unknown_words_are_refused(words: str) -> None:
    with pytest.raises(BadFilter):
        split_words(words)


# -- submissions --

REQUEST = {
    "jobName": "train",
    "jobQueue": "hi",
    "jobDefinition": "work:1",
    "parameters": {"a": "it's"},
    "shareIdentifier": "team",
    "arrayProperties": {"size": 3},
    "containerOverrides": {
        "command": ["sh", "-c", "echo 'a b'; exit 1"],
        "environment": [{"name": "A", "value": "x=y"}],
        "resourceRequirements": [{"type": "VCPU", "value": "2"}, {"type": "MEMORY", "value": "512"}],
    },
    "retryStrategy": {"attempts": 2, "evaluateOnExit": [{"action": "retry", "onExitCode": "1"}]},
    "timeout": {"attemptDurationSeconds": 60},
    "tags": {"team": "a"},
}


def test_a_form_that_was_not_changed_submits_the_same() -> None:
    members = [*REQUEST]
    again = request_of(fields_of(REQUEST), REQUEST)
    assert again == REQUEST
    assert sorted(again) == sorted(members)


def test_the_texts_are_what_they_say() -> None:
    cli = as_cli({"jobName": "a b", "arrayProperties": {"size": 2}, "schedulingPriorityOverride": 5})
    assert cli == (
        "aws batch submit-job \\\n  --job-name 'a b' \\\n  --array-properties '{\"size\":2}' \\\n"
        "  --scheduling-priority-override 5"
    )
    code = as_boto3(REQUEST)
    compile(code, "boto3", "exec")
    called: dict[str, Any] = {}
    exec(code.replace("import boto3", ""), {"boto3": _Boto3(called)})
    assert called == REQUEST


class _Boto3:
    def __init__(self, called: dict[str, Any]) -> None:
        self._called = called

    def client(self, name: str) -> "_Boto3":
        return self

    def submit_job(self, **request: Any) -> None:
        self._called.update(request)
