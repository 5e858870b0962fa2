"""Variants side by side, the files of environments, and the report."""

import json
import os
import re
import signal
from html.parser import HTMLParser

import pytest

from batchyard.core.capacity.prices import Prices
from batchyard.planning.html_report import html_report
from batchyard.planning.simulation import Conditions
from batchyard.planning.site import SiteError, read_site, site_of_trace
from batchyard.planning.tables import side_by_side, span, waits_by
from batchyard.planning.variants import Question, Result, run_side_by_side, variants
from batchyard.planning.workload import Workload
from tests.planning.worlds import CATALOGUE, fleet, job, machine, workload

JOBS = workload(*[job(submit_s=n, run_s=20, share="ab"[n % 2]) for n in range(10)])


def results(policies: list[str], hosts: list[str], question: Workload = JOBS) -> list[Result]:
    found = variants(machine(1), question, policies, {}, hosts, CATALOGUE)
    return run_side_by_side(found, Question(question, Conditions(), CATALOGUE, Prices()), lambda ended, total: None)


def test_each_policy_with_and_without_hosts() -> None:
    found = results(["fifo", "fair"], ["+1xc5.large"])
    assert [one.name for one in found] == ["fifo", "fair", "fifo +1xc5.large", "fair +1xc5.large"]
    assert all(one.is_complete for one in found)
    assert found[2].measures.makespan_ms < found[0].measures.makespan_ms
    table = side_by_side(found)
    assert table.headings == ["", *(one.name for one in found)]
    assert table.rows[0] == ["jobs ended"] + ["10 of 10"] * 4
    by_share = waits_by(found, "share", lambda one: one.by_share)
    assert by_share is not None
    assert [row[0] for row in by_share.rows] == ["a", "b"]
    assert waits_by(found, "queue", lambda one: one.by_queue) is None


def test_an_error_of_one_ends_all() -> None:
    found = variants(fleet(name="c9.huge"), JOBS, ["fifo", "fair"], {}, [], CATALOGUE)
    with pytest.raises(SiteError, match=r"c9\.huge"):
        run_side_by_side(found, Question(JOBS, Conditions(), CATALOGUE, Prices()), lambda ended, total: None)


def test_after_ctrl_c_there_is_what_was_done() -> None:
    many = workload(*[job(submit_s=n, run_s=1) for n in range(20_000)])
    found = variants(machine(1), many, [], {}, [], CATALOGUE)

    def interrupt(ended: int, total: int) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    question = Question(many, Conditions(), CATALOGUE, Prices())
    (result,) = run_side_by_side(found, question, interrupt)
    assert not result.is_complete
    assert 0 < result.measures.ended < 20_000
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (json.dumps(fleet().environments[0]), "one.json"),
        (json.dumps([fleet().environments[0]]), "list.json"),
        (json.dumps({"computeEnvironments": [fleet().environments[0]], "host": {"vcpus": 8, "memory": 9}}), "all.json"),
        ('[[computeEnvironments]]\ncomputeEnvironmentName = "fleet"\ntype = "UNMANAGED"\n', "all.toml"),
    ],
)
def test_files_of_environments(text: str, name: str) -> None:
    assert [one["computeEnvironmentName"] for one in read_site(text, name).environments] == ["fleet"]


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"colour": 1}', '{"computeEnvironments": [{"type": "MANAGED"}]}', "3"]
)
def test_other_files_are_refused_with_what_is_right(text: str) -> None:
    with pytest.raises(SiteError, match=r"wrong\.json"):
        read_site(text, "wrong.json")


def test_the_machine_of_a_trace_holds_its_largest_job() -> None:
    site = site_of_trace(workload(job(vcpus=99, memory_mib=10**6)))
    assert (site.host.milli_vcpus, site.host.memory_mib) == (99_000, 10**6)


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(0, "0.0s"), (9_940, "9.9s"), (59_000, "59s"), (61_000, "1m 1s"), (7_320_000, "2h 2m"), (200_000_000, "2d 7h")],
)
def test_spans_of_time(milliseconds: int, text: str) -> None:
    assert span(milliseconds) == text


def test_the_report_is_a_page_that_loads_nothing() -> None:
    hostile = workload(job(share="<script>alert(1)</script>"), job(share="b"))
    found = results([], ["+1xc5.large"], hostile)
    by_share = waits_by(found, "share", lambda one: one.by_share)
    assert by_share is not None
    page = html_report("What would happen", ["a <note>"], [("Shares", by_share)], found)
    assert "<script" not in page
    assert "http" not in page
    opened: list[str] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag not in ("meta", "rect", "polygon", "polyline", "line", "br"):
                opened.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert opened.pop() == tag

    Tags().feed(re.sub(r"/>", ">", page))
    assert not opened
    assert page.count("<svg") == 3, "two variants over time, and the instances of one"
