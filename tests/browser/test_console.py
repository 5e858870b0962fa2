"""The console in a real browser: each page, what is live, what is written, by mouse, by keys and without script."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.browser.browser import DESKTOP, Tab
from tests.browser.pipeline import HOSTILE, Yard, yard_with_jobs
from tests.server.certificates import make_certificate
from tests.server.running import Server, command
from tests.waiting import until

END_SECONDS = 60.0


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    with yard_with_jobs(tmp_path_factory.mktemp("console")) as made:
        yield made


def pages_of(yard: Yard) -> list[str]:
    named = [f"jobs/{yard.ids[name]}" for name in ("bad", "evil", "array", "long", "wide")]
    asking = [f"jobs/{yard.ids['long']}/terminate", f"jobs/{yard.ids['bad']}/resubmit"]
    others = ["", "jobs", "jobs?state=failed", "queues", "queues/default", "environments", "environments/local"]
    return [*others, *named, *asking, f"jobs/{yard.ids['array']}:3", f"jobs/{yard.ids['evil']}?q=img", *MORE_PAGES]


MORE_PAGES = (
    *("definitions", "definitions/ok/1", "definitions/ok/1/submit", "more", "alarms", "log-groups", "doctor"),
    *("workflows", "workflows/nightly", "workflows/nightly/start", "workflows/nightly/executions/running"),
    *("workflows/nightly/executions/failing", "workflows/nightly/executions/running/stop"),
    *("metrics", "metrics?namespace=AWS/Batch&name=FailedJobCount", "log-group?name=/aws/batch/job"),
    *("log-group?name=/aws/batch/job&pattern=bad", "insights", "insights?q=stats+count(*)+as+lines+by+@jobName"),
    *("rule?name=ends", "schedule?name=nightly", "topic?name=failures", f"alarm?name={quote(HOSTILE)}"),
)


def test_every_page_is_sound_in_light_and_dark_and_on_a_phone(yard: Yard) -> None:
    tab = yard.tab(color_scheme="light")
    # Those with colours of their own; make hunt looks at every page in the dark (tests.browser.crawl).
    dark = {"", "jobs", "environments", "workflows/nightly/executions/failing"}
    dark |= {f"jobs/{yard.ids[name]}" for name in ("bad", "wide", "array")}
    for path in pages_of(yard):
        page = tab.open(path)
        assert tab.violations() == [], path
        assert page.locator("h1").count() == 1, path
        assert "Batchyard" in page.title()
        if path in dark:
            page.emulate_media(color_scheme="dark")
            assert tab.violations("color-contrast") == [], path
        page.set_viewport_size({"width": 360, "height": 780})
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
        page.set_viewport_size(DESKTOP)
        page.emulate_media(color_scheme="light")
    tab.close()


def test_every_page_can_be_read_without_script(yard: Yard) -> None:
    tab = yard.tab(java_script_enabled=False)
    for path in pages_of(yard):
        tab.open(path)
    page = tab.open(f"jobs/{yard.ids['bad']}")
    assert page.get_by_text("bad row 4711").count() >= 1
    job_id = yard.submit("by-form", "long")
    page = tab.open(f"jobs/{job_id}")
    page.get_by_role("link", name="Terminate…").click()
    page.get_by_role("button", name="Terminate by-form").click()
    assert page.url.endswith(f"/console/jobs/{job_id}")
    yard.wait(job_id, "FAILED")
    tab.close()


def test_a_change_is_on_the_screen_without_a_reload(yard: Yard) -> None:
    tab = yard.tab()
    page = tab.open("jobs")
    page.evaluate("window.kept = true")
    job_id = yard.submit("fresh", "ok")
    tab.has(f"#job-{job_id}")
    tab.has(f"#job-{job_id} .s-succeeded")
    assert page.evaluate("window.kept"), "the page itself stayed"
    detail = yard.submit("watched", "long")
    page = tab.open(f"jobs/{detail}")
    tab.has(".head .s-running")
    yard.batch.terminate_job(jobId=detail, reason="enough")
    tab.has(".head .s-failed")
    tab.close()


def test_rows_do_not_move_under_the_reader(yard: Yard) -> None:
    tab = yard.tab()
    page = tab.open("jobs")
    first = page.locator("tbody tr").first
    before = first.get_attribute("id")
    first.locator("input").check()
    job_id = yard.submit("later", "ok")
    page.get_by_role("button", name="new job").wait_for()
    assert page.locator("tbody tr").first.get_attribute("id") == before
    assert page.locator("tbody input:checked").count() == 1
    first.locator("input").uncheck()
    page.locator("[data-new-rows] button").click()
    tab.has(f"#job-{job_id}")
    tab.close()


def test_a_log_is_followed_and_stops_when_scrolled(yard: Yard) -> None:
    tab = yard.tab()
    page = tab.open(f"jobs/{yard.ids['long']}")
    lines = page.locator(".log-lines .line")
    number = lines.count()
    until(lambda: lines.count() > number + 3, END_SECONDS, lambda: "lines to come")
    page.locator("[data-follow]").click()
    until(lambda: "new lines" in page.locator("[data-follow]").inner_text(), END_SECONDS, lambda: "lines to be counted")
    page.locator("#log-q").fill("STEP 1")
    page.locator("#log-q").press("Enter")
    assert "“STEP 1”" in page.locator("#log-title").inner_text()
    tab.close()


def test_what_a_job_prints_is_text(yard: Yard) -> None:
    tab = yard.tab()
    page = tab.open(f"jobs/{yard.ids['evil']}")
    assert HOSTILE in page.locator(".log-lines").inner_text()
    assert page.locator("main script, main img").count() == 0
    assert page.locator(".log-lines .a31").inner_text() == "red"
    page.locator("summary", has_text="Everything").click()
    assert HOSTILE in page.locator("main").inner_text()
    tab.close()


def test_questions_are_dialogs_and_writes_are_shown(yard: Yard) -> None:
    tab = yard.tab()
    job_id = yard.submit("stopped", "long")
    page = tab.open(f"jobs/{job_id}")
    page.get_by_role("link", name="Terminate…").click()
    page.locator("dialog[open]").wait_for()
    assert tab.violations() == []
    page.locator("dialog").get_by_role("link", name="Go back").click()
    assert page.locator("dialog[open]").count() == 0
    page.get_by_role("link", name="Terminate…").click()
    page.locator("dialog").get_by_role("button", name="Terminate stopped").click()
    tab.has(".head .s-failed")
    page.get_by_role("link", name="Resubmit…").click()
    page.locator("input[name=name]").fill("again")
    page.locator("textarea[name=command]").fill("echo again")
    page.get_by_role("button", name="Submit").click()
    page.get_by_role("heading", name="again", level=1).wait_for()
    tab.has(".head .s-succeeded")
    tab.close()


def test_many_are_withdrawn_after_a_question_that_counts_them(yard: Yard) -> None:
    tab = yard.tab()
    ids = [yard.submit("batch-of-three", "wide") for _ in range(3)]
    page = tab.open("jobs?name=batch-of-three")
    page.locator(f"#job-{ids[0]} input").check()
    page.get_by_role("button", name="Cancel…").click()
    page.get_by_role("heading", name="Cancel 1 job?").wait_for()
    page.get_by_role("button", name="Cancel 1 job").click()
    yard.wait(ids[0], "FAILED")
    assert yard.status(ids[1]) == "RUNNABLE"
    page = tab.open("jobs?name=batch-of-three")
    page.get_by_role("button", name="Terminate…").click()
    page.get_by_role("heading", name="Terminate 2 jobs?").wait_for()
    assert "All that match name:batch-of-three" in page.locator("main").inner_text()
    page.get_by_label("Reason").fill("seen in a browser")
    page.get_by_role("button", name="Terminate 2 jobs").click()
    yard.wait(ids[1], "FAILED")
    yard.wait(ids[2], "FAILED")
    job_id = yard.submit("unwanted", "wide")
    page = tab.open(f"jobs/{job_id}")
    page.get_by_role("link", name="Cancel…").click()
    page.locator("dialog").get_by_role("button", name="Cancel unwanted").click()
    tab.has(".head .s-failed")
    tab.close()


def test_definitions_and_workflows_are_run_from_their_forms(yard: Yard) -> None:
    tab = yard.tab()
    page = tab.open("definitions/ok/1")
    page.get_by_role("link", name="Run it…").click()
    page.locator("input[name=name]").fill("from-a-form")
    page.get_by_role("button", name="Submit").click()
    page.get_by_role("heading", name="from-a-form", level=1).wait_for()
    tab.has(".head .s-succeeded")
    page = tab.open("workflows/nightly/start")
    page.get_by_label("Input, as JSON").fill('{"ready": true}')
    page.get_by_label("Name; empty").fill("tried")
    page.get_by_role("button", name="Start it").click()
    page.wait_for_url("**/executions/tried")
    page.get_by_role("link", name="Stop…").click()
    page.locator("dialog").get_by_role("button", name="Stop it").click()
    page.get_by_role("link", name="Redrive…").click()
    page.locator("dialog").get_by_role("button", name="Redrive it").click()
    page.get_by_role("link", name="Stop…").click()
    page.locator("dialog").get_by_role("button", name="Stop it").click()
    page.get_by_role("link", name="Redrive…").wait_for()
    tab.close()


def test_everything_is_within_reach_of_keys(yard: Yard) -> None:
    tab = yard.tab()
    page = tab.open("")
    page.keyboard.press("g")
    page.keyboard.press("j")
    page.wait_for_url("**/console/jobs")
    page.keyboard.press("/")
    page.keyboard.type("state:failed name:clean")
    page.keyboard.press("Enter")
    page.wait_for_url("**/console/jobs?state=failed&name=clean")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/console/jobs/{yard.ids['bad']}")
    page.keyboard.press("?")
    page.locator("dialog[open]").get_by_role("button", name="Switch keys off").click()
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("j")
    page.go_back()
    assert page.url.endswith("/console/jobs?state=failed&name=clean"), "keys were off"
    page = tab.open(f"jobs/{yard.ids['array']}")
    page.locator("svg.cells").focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    assert page.locator("[data-readout]").inner_text() == "3 FAILED exit 9"
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/console/jobs/{yard.ids['array']}:3")
    tab.close()


def test_every_question_is_answered_by_roles_and_keys_alone(yard: Yard) -> None:
    tab = yard.tab()
    page = tab.open("")

    def follow(name: str, within: Any = None) -> None:
        """As a screen reader's user does: finds the link by its role and name, and presses Enter."""
        link = (within or page).get_by_role("link", name=name, exact=True).first
        link.focus()
        page.keyboard.press("Enter")

    def says(*texts: str) -> None:
        for text in texts:
            page.get_by_role("main").get_by_text(text).first.wait_for()

    def waits_at(heading: str) -> None:
        page.get_by_role("heading", level=1, name=heading, exact=True).wait_for()

    attention = page.get_by_role("region", name="Needs attention")
    assert "failed" in attention.inner_text()
    page.get_by_role("list", name="Jobs by state").get_by_role("link", name="FAILED").focus()
    page.keyboard.press("Enter")
    waits_at("Jobs")
    says("37")  # what failed
    follow("clean")
    waits_at("clean")
    says("exit 37", "bad row 4711")  # why
    follow("Jobs", page.get_by_role("navigation"))
    waits_at("Jobs")
    follow("transform")
    waits_at("transform")
    follow("3")  # which input
    says("bad input")
    follow("Overview", page.get_by_role("navigation"))
    waits_at("Overview")
    page.get_by_role("list", name="Jobs by state").get_by_role("link", name="RUNNABLE").focus()
    page.keyboard.press("Enter")
    waits_at("Jobs")
    follow("huge")
    waits_at("huge")
    says("64 vCPUs asked, 4 at most there", "Ask for less")  # what waits, and for what
    follow("When will it start?")
    waits_at("When will huge start?")
    says("That is not known")
    follow("Environments", page.get_by_role("navigation"))
    waits_at("Compute environments")
    follow("train")  # who uses the machine
    waits_at("train")
    assert tab.violations() == []
    tab.close()


def test_a_cell_opens_its_child(yard: Yard) -> None:
    tab = yard.tab()
    page = tab.open(f"jobs/{yard.ids['array']}")
    box = page.locator("svg.cells").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] * 3.5 / 8, box["y"] + box["height"] / 2)
    page.wait_for_url(f"**/console/jobs/{yard.ids['array']}:3")
    tab.close()


def test_ten_thousand_children_are_cells(yard: Yard) -> None:
    job_id = yard.submit("sweep", "wide", arrayProperties={"size": 10_000})
    tab = yard.tab()
    page = tab.open(f"jobs/{job_id}")
    assert tab.violations() == []
    assert page.locator("svg.cells *").count() < 20, "cells are no elements of their own"
    page.locator("svg.cells").focus()
    page.keyboard.press("End")
    assert page.locator("[data-readout]").inner_text() == "9999 RUNNABLE"
    yard.batch.terminate_job(jobId=job_id, reason="seen")
    tab.has("svg.cells .f-failed")
    assert page.locator("[data-readout]").inner_text() == "9999 FAILED"
    tab.close()


def test_the_theme_stays_as_it_was_chosen(yard: Yard) -> None:
    tab = yard.tab(color_scheme="light")
    page = tab.open("jobs")
    page.get_by_role("button", name="theme").click()
    assert page.locator("html").get_attribute("data-theme") == "dark"
    page = tab.open("queues")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"
    tab.close()


def test_visitors_sign_in_once_there_are_keys(yard: Yard, tmp_path: Path) -> None:
    with Server(tmp_path, *make_certificate(tmp_path / "tls").flags) as server:
        made = command(tmp_path, "keys", "add", "ann", "--data-dir", str(server.data_dir), "--json")
        key = json.loads(made.stdout)
        tab = Tab(yard.browser, server.address, ignore_https_errors=True)
        page = tab.open("jobs?state=failed")
        assert "sign-in" in page.url
        assert tab.violations() == []
        page.get_by_label("Access key id").fill(key["accessKeyId"])
        page.get_by_label("Secret access key").fill(key["secretAccessKey"])
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/console/jobs?state=failed")
        tab.has(".live.is-on")  # the stream comes over TLS too
        (session,) = [one for one in tab.context.cookies() if one["name"].startswith("batchyard_session")]
        assert (session["secure"], session["httpOnly"], session["sameSite"]) == (True, True, "Strict")
        page.get_by_role("button", name="ann").click()
        page.wait_for_url("**/console/sign-in")
        tab.close()
