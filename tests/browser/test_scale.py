"""The console at a million jobs, and what a first visit costs: counted, not timed (`python -m bench.console` times)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.pipeline import Yard, register, yard_without_jobs

CHILDREN, ARRAYS = 10_000, 100
MAX_FIRST_PAGE_BYTES = 100 * 1024  # compressed, all that a first visit fetches
MAX_PAGE_BYTES = 64 * 1024  # of any page at a million jobs, compressed
MAX_ELEMENTS = 3000


@pytest.fixture(scope="module")
def million(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    with yard_without_jobs(tmp_path_factory.mktemp("million")) as yard:
        register(yard.batch, "wide", "sleep 600", vcpus="64")
        resources = {
            "type": "EC2",
            "minvCpus": 2,
            "maxvCpus": 2,
            "instanceTypes": ["c5.large"],
            "subnets": ["subnet-1"],
        }
        resources |= {"instanceRole": "role", "securityGroupIds": ["sg-1"]}
        yard.batch.create_compute_environment(
            computeEnvironmentName="fleet", type="MANAGED", computeResources=resources
        )
        for number in range(ARRAYS):
            yard.ids["last"] = yard.submit(f"sweep-{number}", "wide", arrayProperties={"size": CHILDREN})
        yield yard


def test_pages_at_a_million_jobs_cost_what_they_show(million: Yard) -> None:
    tab = million.tab()
    last = million.ids["last"]
    for path in ("", "jobs", "jobs?name=sweep-1", f"jobs/{last}", f"jobs/{last}:9999", "queues", "queues/default"):
        page = tab.open(path)
        assert page.locator("*").count() < MAX_ELEMENTS, path
        sizes = page.evaluate("performance.getEntriesByType('navigation').map(one => one.transferSize)")
        assert sizes[0] < MAX_PAGE_BYTES, f"{path}: {sizes}"
    assert tab.violations() == []
    page = tab.open("jobs?state=pending")
    assert "10,000 children" in page.locator("main").inner_text()
    page.get_by_role("link", name="Older").click()
    page.wait_for_url("**older=**")
    assert page.locator("tbody tr").count() > 10
    tab.close()


def test_a_first_visit_fetches_little(million: Yard) -> None:
    tab = million.tab()
    fetched: list[tuple[str, int]] = []

    def note(request: object) -> None:
        if "/live" not in request.url:  # type: ignore[attr-defined]
            sizes = request.sizes()  # type: ignore[attr-defined]
            fetched.append((request.url, sizes["responseBodySize"] + sizes["responseHeadersSize"]))  # type: ignore[attr-defined]

    tab.page.on("requestfinished", note)
    page = tab.open("")
    tab.has(".live.is-on")
    page.wait_for_load_state("load")
    assert len(fetched) >= 3, fetched
    assert sum(size for _, size in fetched) < MAX_FIRST_PAGE_BYTES, fetched
    tab.close()


def test_an_instance_is_interrupted_after_a_question(million: Yard) -> None:
    tab = million.tab()
    page = tab.open("environments/fleet")
    link = page.get_by_role("link", name="Interrupt…")
    link.wait_for()  # the page is live: it is there once the instance is ready
    name = page.locator("section[id^=instance-]").get_attribute("id")
    link.click()
    page.locator("dialog").get_by_role("button", name="Interrupt it").click()
    page.wait_for_url("**/console/environments")
    page = tab.open("environments/fleet")
    page.wait_for_function("id => !document.getElementById(id)", arg=name)
    tab.close()
