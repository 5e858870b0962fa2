"""The page of one job, of an array, and of a gang: what happened, why, and what to do now."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from batchyard.analysis.forecasts import HISTORY, NOT_WAITING, UNKNOWN, Forecast, Forecasts
from batchyard.api import operations
from batchyard.console.job_logs import find_place
from batchyard.console.site import PageRequest
from batchyard.core.model.records import log_file_container, logs_of
from batchyard.observe.logfile import log_path
from tests.api.service import container
from tests.console.site import READER, VISITOR, Console, header_of, links_of, text_of

HOSTILE = "<img src=x onerror=alert(1)>\x1b]0;title\x07\x1b[31mred\x1b[0m"


def write_log(yard: Console, job_id: str, *lines: str) -> Path:
    (view,) = yard.reader.jobs([job_id])
    place = find_place(view)
    assert place is not None
    name = log_file_container(view.spec, logs_of(view.spec)[0].container)
    path = log_path(yard.context.logs_directory, view.task_id(place.number), name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{yard.now_ms + number}\t{line}\n" for number, line in enumerate(lines)))
    return path


def test_a_waiting_job_says_why_with_numbers_and_remedy(yard: Console) -> None:
    big = yard.register("big", containerProperties=container(resourceRequirements=_asks("64", "512")))
    job_id = yard.submit(big)
    text = text_of(yard.get(f"jobs/{job_id}"))
    assert "To run sooner:" in text
    assert "It asks for 64.0 vCPUs, 512 MiB" in text or "It asks for 64 vCPUs, 512 MiB" in text
    assert "Before it 0 in its queue" in text


def test_what_holds_the_room_is_linked(yard: Console) -> None:
    yard.register("wide", containerProperties=container(resourceRequirements=_asks("4", "512")))
    first, second = yard.submit("wide"), yard.submit("wide")
    yard.start(first)
    page = yard.get(f"jobs/{second}")
    assert f"/console/jobs/{first}" in links_of(page)
    assert "Held by nap (4 vCPUs)" in text_of(page)


def test_when_a_job_starts_is_a_page_of_its_own(yard: Console) -> None:
    yard.register("wide", containerProperties=container(resourceRequirements=_asks("4", "512")))
    first, second = yard.submit("wide"), yard.submit("wide", "later")
    yard.start(first)
    assert "When will it start?" not in text_of(yard.get(f"jobs/{second}")), "no service runs"
    assert yard.ask(PageRequest(f"jobs/{second}/forecast", VISITOR)).status == 404
    known = Forecast(second, HISTORY, 100, 60_000, 120_000, 180_000)
    answers = iter([known, Forecast(second, UNKNOWN, 100), Forecast(first, NOT_WAITING, 0)])

    async def forecaster(job_ids: Sequence[str]) -> Forecasts:
        return Forecasts(yard.now_ms, [next(answers)])

    yard.site = replace(yard.site, context=replace(yard.context, forecaster=forecaster))
    yard.site = replace(yard.site, handlers=operations.bind(yard.site.context))
    page = yard.get(f"jobs/{second}")
    assert f"/console/jobs/{second}/forecast" in links_of(page)
    text = text_of(yard.get(f"jobs/{second}/forecast"))
    assert "When will later start? Most likely in 2 min" in text
    assert "100 futures were played" in text
    assert "That is not known" in text_of(yard.get(f"jobs/{second}/forecast"))
    assert "It does not wait." in text_of(yard.get(f"jobs/{first}/forecast"))


def test_a_failed_job_says_how_it_ended(yard: Console) -> None:
    job_id = yard.submit(retryStrategy={"attempts": 2})
    for _ in range(2):
        yard.start(job_id)
        yard.end(job_id, 37, "Essential container in task exited", ran_ms=3100)
    text = text_of(yard.get(f"jobs/{job_id}"))
    assert "Failed after 3.1 s in attempt 2 of 2: exit 37, Essential container in task exited" in text
    assert "FAILED nap" not in text
    assert text.index("Submitted") < text.index("Placed") < text.index("Running") < text.index("Ended")
    assert "Attempts" in text
    page = yard.get(f"jobs/{job_id}")
    assert "<title>FAILED nap · Job · Batchyard</title>" in page


def test_a_succeeded_job(yard: Console) -> None:
    job_id = yard.submit()
    yard.start(job_id)
    yard.end(job_id, ran_ms=65_000)
    assert "Succeeded after 1 min 5 s." in text_of(yard.get(f"jobs/{job_id}"))


def test_the_log_is_escaped_and_its_colours_are_classes(yard: Console) -> None:
    job_id = yard.submit()
    yard.start(job_id)
    write_log(yard, job_id, "hello", HOSTILE)
    page = yard.get(f"jobs/{job_id}")
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page
    assert '<span class="a31">red</span>' in page
    assert "title" not in page.partition("&lt;img")[2].partition("</span>")[0]


def test_long_logs_are_read_by_parts_and_searched_whole(yard: Console) -> None:
    job_id = yard.submit()
    yard.start(job_id)
    write_log(yard, job_id, *(f"line {number} {'odd' if number == 3 else ''}" for number in range(2500)))
    page = yard.get(f"jobs/{job_id}")
    assert "(the last 1,000 lines)" in text_of(page)
    assert "line 1499 " not in page
    (before,) = re.findall(r"before=(\d+)", page)
    earlier = yard.get(f"jobs/{job_id}/log", before=before)
    assert "line 1499 " in earlier
    assert "line 1500 " not in earlier
    (stop,) = re.findall(r'data-stop="(\d+)"', page)
    assert yard.get(f"jobs/{job_id}/log", after=stop).count('class="line"') == 0
    found = text_of(yard.get(f"jobs/{job_id}", q="ODD"))
    assert "1 line has “ODD”" in found
    assert "line 3 odd" in found
    assert "2,500 lines have “line”, the first 200 are shown" in text_of(yard.get(f"jobs/{job_id}", q="line"))


def test_the_raw_log_is_plain_text(yard: Console) -> None:
    job_id = yard.submit()
    assert yard.ask(PageRequest(f"jobs/{job_id}/log/raw", VISITOR)).status == 404
    yard.start(job_id)
    write_log(yard, job_id, "<b>hello</b>")
    raw = yard.ask(PageRequest(f"jobs/{job_id}/log/raw", VISITOR))
    assert (raw.body, raw.content_type) == (b"<b>hello</b>\n", "text/plain; charset=utf-8")
    assert header_of(raw, "content-disposition") == f'inline; filename="{job_id}-1.log"'


def test_dependencies_are_a_graph_of_links(yard: Console) -> None:
    first = yard.submit(name="ingest")
    second = yard.submit(name="clean", dependsOn=[{"jobId": first}])
    third = yard.submit(name="report", dependsOn=[{"jobId": second}])
    page = yard.get(f"jobs/{third}")
    svg = page.partition('<svg class="graph"')[2].partition("</svg>")[0]
    assert [name for name in ("ingest", "clean", "report") if name in svg] == ["ingest", "clean", "report"]
    assert f"/console/jobs/{first}" in svg
    assert svg.count('class="edge"') == 2


def test_jobs_are_cancelled_and_terminated_after_a_question(yard: Console) -> None:
    job_id = yard.submit()
    yard.start(job_id)
    page = yard.get(f"jobs/{job_id}/terminate")
    assert "Terminate nap? It is RUNNING." in text_of(page)
    done = yard.post(f"jobs/{job_id}/terminate", reason="enough")
    assert header_of(done, "location") == f"/console/jobs/{job_id}"
    assert yard.detail(job_id)["isTerminated"]
    waiting = yard.submit()
    yard.post(f"jobs/{waiting}/cancel", reason="not now")
    assert yard.detail(waiting)["isCancelled"]


def test_a_job_is_run_again_with_changes(yard: Console) -> None:
    job_id = yard.submit(
        containerOverrides={"command": ["sleep", "1"], "environment": [{"name": "A", "value": "b=c d"}]},
        tags={"team": "a"},
    )
    page = yard.get(f"jobs/{job_id}/resubmit")
    assert ">sleep 1</textarea>" in page
    assert "A=b=c d" in page
    form = {"name": "again", "queue": "default", "definition": "sleeper:1", "command": "sleep '2 3'", "attempts": "3"}
    done = yard.post(f"jobs/{job_id}/resubmit", **form, environment="A=z", tags="team=b", vcpus="2", memory="256")
    detail = yard.detail(header_of(done, "location").rpartition("/")[2])
    assert detail["jobName"] == "again"
    assert detail["container"]["command"] == ["sleep", "2 3"]
    assert detail["container"]["environment"] == [{"name": "A", "value": "z"}]
    assert detail["retryStrategy"]["attempts"] == 3
    assert detail["tags"] == {"team": "b"}


def test_what_cannot_be_submitted_shows_the_form_again(yard: Console) -> None:
    job_id = yard.submit()
    for form in (
        {"name": "a b", "queue": "default", "definition": "sleeper:1"},
        {"name": "x", "queue": "none", "definition": "sleeper:1"},
        {"name": "x", "queue": "default", "definition": "sleeper:1", "environment": "no equals sign"},
        {"name": "x", "queue": "default", "definition": "sleeper:1", "command": "'open"},
    ):
        refused = yard.post(f"jobs/{job_id}/resubmit", **form)
        assert refused.status == 400
        assert 'role="alert"' in refused.body.decode()
        assert f'value="{form["name"]}"' in refused.body.decode()


def test_readers_get_no_forms(yard: Console) -> None:
    job_id = yard.submit()
    assert "Terminate…" not in yard.get(f"jobs/{job_id}", READER)


def test_unknown_jobs_are_not_found(yard: Console) -> None:
    for job_id in ("nonsense", "00000000-0000-4000-8000-00000000ffff", "<script>"):
        assert yard.ask(PageRequest(f"jobs/{job_id}", VISITOR)).status == 404


def test_an_array_shows_cells_and_groups_its_failures(yard: Console) -> None:
    job_id = yard.submit(arrayProperties={"size": 6})
    for index, exit_code in enumerate([0, 9, 9, 137]):
        child = f"{job_id}:{index}"
        yard.start(child)
        if exit_code:
            write_log(yard, child, f"bad row {index}" if exit_code == 9 else "killed")
        yard.end(child, exit_code, "OutOfMemoryError" if exit_code == 137 else "")
    page = yard.get(f"jobs/{job_id}")
    text = text_of(page)
    assert 'class="f-succeeded"' in page
    assert 'class="f-failed"' in page
    assert "6 children: " in page
    assert re.search(r"2 exit 9 .*bad row 1 1 , 2 1 exit 137 OutOfMemoryError", text), text
    assert f"/console/jobs/{job_id}:1" in links_of(page)
    failed = yard.get(f"jobs/{job_id}", state="failed")
    assert set(re.findall(r'id="job-[^"]*:(\d)"', failed)) == {"1", "2", "3"}
    child_page = text_of(yard.get(f"jobs/{job_id}:1"))
    assert "exit 9" in child_page
    assert "part of the whole job" in child_page


def test_failed_children_are_run_again_alone_with_their_indexes(yard: Console) -> None:
    job_id = yard.submit(arrayProperties={"size": 3}, tags={"team": "a"})
    for index, exit_code in enumerate([9, 0, 9]):
        yard.start(f"{job_id}:{index}")
        yard.end(f"{job_id}:{index}", exit_code)
    assert f"/console/jobs/{job_id}/resubmit-failed" in links_of(yard.get(f"jobs/{job_id}"))
    assert "Run the 2 failed children again?" in text_of(yard.get(f"jobs/{job_id}/resubmit-failed"))
    done = yard.post(f"jobs/{job_id}/resubmit-failed")
    assert header_of(done, "location") == f"/console/jobs?tag=retried-from%3D{job_id}"
    (two, zero) = re.findall(r'data-job="([^"]+)"', yard.get("jobs", tag=f"retried-from={job_id}"))
    commands = [yard.detail(one)["container"]["command"] for one in (zero, two)]
    assert commands == [["env", f"AWS_BATCH_JOB_ARRAY_INDEX={index}", "sleep", "60"] for index in (0, 2)]
    assert [yard.detail(one)["jobName"] for one in (zero, two)] == ["nap-0", "nap-2"]
    assert "arrayProperties" not in yard.detail(zero)
    assert yard.ask(PageRequest(f"jobs/{zero}/resubmit-failed", VISITOR)).status == 403


def test_a_job_shows_what_waits_for_it(yard: Console) -> None:
    first = yard.submit(name="first", parameters={"about": "itself"})
    second = yard.submit(name="second", dependsOn=[{"jobId": first}])
    third = yard.submit(name="third", dependsOn=[{"jobId": second}])
    yard.submit(name="speaks-of-it", parameters={"about": first})
    svg = yard.get(f"jobs/{first}").partition('class="graph"')[2].partition("</svg>")[0]
    assert [f"/console/jobs/{one}" in svg for one in (first, second, third)] == [True] * 3
    assert "speaks-of-it" not in svg


def test_ten_thousand_children_are_a_small_page(yard: Console) -> None:
    job_id = yard.submit(arrayProperties={"size": 10_000})
    page = yard.get(f"jobs/{job_id}")
    assert 'viewBox="0 0 1000 1000"' in page
    assert "10,000 children" in text_of(page)
    assert len(page) < 100_000


def test_a_gang_shows_its_nodes_side_by_side(yard: Console) -> None:
    groups = [{"targetNodes": "0:", "container": container()}]
    nodes = {"numNodes": 3, "mainNode": 0, "nodeRangeProperties": groups}
    yard.call("RegisterJobDefinition", {"jobDefinitionName": "gang", "type": "multinode", "nodeProperties": nodes})
    job_id = yard.submit("gang")
    page = yard.get(f"jobs/{job_id}")
    assert page.count('id="node-') == 3
    assert "Node 0 main" in text_of(page)


def test_the_commands_of_a_job_can_be_copied(yard: Console) -> None:
    job_id = yard.submit(parameters={"a": "it's"})
    text = text_of(yard.get(f"jobs/{job_id}"))
    assert "aws batch submit-job" in text
    assert "boto3.client('batch').submit_job(" in text
    assert f"batchyard explain {job_id}" in text


def _asks(vcpus: str, memory: str) -> list[dict[str, str]]:
    return [{"type": "VCPU", "value": vcpus}, {"type": "MEMORY", "value": memory}]
