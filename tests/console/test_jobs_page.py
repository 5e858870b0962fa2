"""The list of jobs: filters, pages, and what is withdrawn together."""

import asyncio
import re
from collections.abc import AsyncIterator

import pytest

from batchyard.console.bulk import MAX_ACTIVE, BulkWork, BulkWorks, TooMany
from batchyard.console.pages import jobs
from batchyard.console.routes import answer
from batchyard.console.site import PageRequest
from batchyard.core.model.refusal import Refused
from tests.api.service import container
from tests.console.site import READER, VISITOR, Console, header_of, links_of, text_of

HOSTILE = "<script>alert('x')</script>"


def ids_of(page: str) -> list[str]:
    return re.findall(r'data-job="([^"]+)"', page)


def test_jobs_of_all_states_and_queues_newest_first(yard: Console) -> None:
    yard.make_queue("other", "more")
    found = [yard.submit(name="one"), yard.submit(name="two", jobQueue="other"), yard.submit(name="three")]
    yard.start(found[0])
    yard.end(found[0], exit_code=37, reason="it broke")
    page = yard.get("jobs")
    assert ids_of(page) == found[::-1]
    text = text_of(page)
    assert "FAILED one default sleeper:1" in text
    assert "37 it broke" in text
    assert f"/console/jobs/{found[0]}" in links_of(page)


def test_filters_are_parameters_of_the_address(yard: Console) -> None:
    one, two = yard.submit(name="train", tags={"team": "a"}), yard.submit(name="eval")
    yard.start(one)
    assert ids_of(yard.get("jobs", state="running")) == [one]
    assert ids_of(yard.get("jobs", state="active")) == [two, one]
    assert ids_of(yard.get("jobs", name="ev*")) == [two]
    assert ids_of(yard.get("jobs", tag="team=a")) == [one]
    assert ids_of(yard.get("jobs", since="2030-01-01")) == []
    assert "No job matches queue:none" in text_of(yard.get("jobs", queue="none"))
    assert "RUNNING 1" in text_of(yard.get("jobs"))


def test_the_box_becomes_parameters(yard: Console) -> None:
    found = yard.ask(PageRequest("jobs", VISITOR, query={"q": "queue:default state:failed 'tag:team=a b' ingest"}))
    assert (found.status, header_of(found, "location")) == (
        303,
        "/console/jobs?queue=default&state=failed&tag=team%3Da+b&name=%2Aingest%2A",
    )
    for query in ({"q": "colour:red"}, {"q": "'open"}, {"state": "lost"}, {"since": "soon"}):
        refused = yard.ask(PageRequest("jobs", VISITOR, query=query))
        assert refused.status == 400
        assert 'role="alert"' in refused.body.decode()


def test_pages_by_links_in_both_directions(yard: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "PAGE_ROWS", 2)
    found = [yard.submit() for _ in range(5)][::-1]
    first = yard.get("jobs", name="nap")
    assert ids_of(first) == found[:2]

    def follow(page: str, rel: str) -> str:
        (link,) = re.findall(rf'rel="{rel}" href="/console/jobs\?([^"]+)"', page)
        return yard.get("jobs", **dict(part.split("=", 1) for part in link.replace("&amp;", "&").split("&")))

    second = follow(first, "next")
    assert ids_of(second) == found[2:4]
    assert ids_of(follow(second, "prev")) == found[:2]
    assert 'rel="prev"' not in first


def test_counts_are_not_counted_on(yard: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "COUNTED", 2)
    for _ in range(4):
        yard.start(yard.submit())
    assert "RUNNING 2+" in text_of(yard.get("jobs"))


def test_names_from_jobs_are_escaped(yard: Console) -> None:
    yard.submit(tags={HOSTILE: HOSTILE})
    for page in (yard.get("jobs", tag=HOSTILE), yard.get("jobs", name=HOSTILE)):
        assert HOSTILE not in page
        assert "&lt;script&gt;" in page


def test_an_empty_list_says_what_to_do(console: Console) -> None:
    assert "batchyard run -- echo hello" in text_of(console.get("jobs"))


def test_selected_jobs_are_withdrawn_after_a_question(yard: Console) -> None:
    one, two = yard.submit(), yard.submit()
    question = text_of(yard.get("jobs/withdraw", action="terminate", ids=one))
    assert "Terminate 1 job?" in question
    done = yard.post("jobs/withdraw", action="terminate", ids=one, reason="enough")
    assert header_of(done, "location") == "/console/jobs?done=terminate+1"
    assert [yard.detail(job_id)["isTerminated"] for job_id in (one, two)] == [True, False]


def test_all_that_match_are_withdrawn_with_their_number(yard: Console) -> None:
    asks = [{"type": "VCPU", "value": "64"}, {"type": "MEMORY", "value": "512"}]
    yard.register("large", containerProperties=container(resourceRequirements=asks))
    found = [yard.submit("large", "old") for _ in range(3)]
    kept = yard.submit("large", "kept")
    page = yard.get("jobs/withdraw", action="cancel", name="old")
    assert "Cancel 3 jobs? All that match name:old" in text_of(page)
    assert "Cancel 4 jobs? All of every queue" in text_of(yard.get("jobs/withdraw", action="cancel"))
    assert "Cancel 1 job? The selected ones." in text_of(yard.get("jobs/withdraw", action="cancel", ids=kept))
    hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.partition("<main")[2]))
    done = yard.post("jobs/withdraw", **hidden, reason="too old")
    assert "done=cancel+3" in header_of(done, "location")
    yard.tick(1)
    assert [yard.detail(job_id)["isCancelled"] for job_id in (*found, kept)] == [True, True, True, False]


async def others_end() -> None:
    """Waits for the ends of the tasks beside this one."""
    await asyncio.wait([task for task in asyncio.all_tasks() if task is not asyncio.current_task()])


def test_a_form_that_names_no_jobs_withdraws_none(yard: Console) -> None:
    job_id = yard.submit()
    assert yard.post("jobs/withdraw", action="terminate", reason="x").status == 403
    assert not yard.detail(job_id)["isTerminated"]


def test_many_are_withdrawn_by_a_work_that_counts_them(yard: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "MAX_AT_ONCE", 2)
    monkeypatch.setattr(jobs, "MAX_COUNTED", 3)
    monkeypatch.setattr(jobs, "PAGE_IDS", 2)
    found = [yard.submit(name="old") for _ in range(5)]
    page = yard.get("jobs/withdraw", action="terminate", name="old")
    assert "Terminate all of more than 3 jobs?" in text_of(page)
    hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.partition("<main")[2]))
    yard.tick(1000)
    later = yard.submit(name="old")

    async def withdraw_and_look() -> str:
        begun = await answer(yard.site, PageRequest("jobs/withdraw", VISITOR, "POST", form=hidden))
        path = header_of(begun, "location").removeprefix("/console/")
        await others_end()
        return (await answer(yard.site, PageRequest(path, VISITOR))).body.decode()

    assert "Done: 5 jobs." in text_of(asyncio.run(withdraw_and_look()))
    assert [yard.detail(job_id)["isTerminated"] for job_id in (*found, later)] == [True] * 5 + [False]
    assert yard.ask(PageRequest("bulk/7", VISITOR)).status == 404


def test_a_work_counts_refusals_and_is_stopped() -> None:
    async def ids() -> AsyncIterator[str]:
        for number in range(100):
            yield str(number)

    async def act(job_id: str) -> None:
        if job_id == "1":
            raise Refused("it had ended")
        work.is_stopped = job_id == "2"

    work = BulkWork("Stop", 0)
    asyncio.run(work.run(ids(), act))
    assert (work.done, work.refused, work.reason, work.is_active) == (2, 1, "it had ended", False)


def test_a_work_that_breaks_off_says_why_and_few_go_on_at_once() -> None:
    async def ids() -> AsyncIterator[str]:
        yield "one"

    async def breaks(job_id: str) -> None:
        raise RuntimeError("the service ends")

    async def begin() -> None:
        works = BulkWorks()
        stuck = asyncio.Event()

        async def waits(job_id: str) -> None:
            await stuck.wait()

        work = BulkWork("Break", 0)
        works.start(work, ids(), breaks)
        for number in range(MAX_ACTIVE - 1):
            works.start(BulkWork(str(number), 0), ids(), waits)
        with pytest.raises(TooMany):
            works.start(BulkWork("more", 0), ids(), waits)
        stuck.set()
        await others_end()
        assert (work.failure, work.is_active) == ("the service ends", False)
        works.start(BulkWork("more", 0), ids(), waits)

    asyncio.run(begin())


def test_readers_see_no_buttons(yard: Console) -> None:
    yard.submit()
    page = yard.get("jobs", READER)
    assert "Terminate…" not in page
    assert 'type="checkbox"' not in page
