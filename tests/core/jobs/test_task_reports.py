"""Reports about attempts reach the job they are about, and every end is acknowledged."""

from batchyard.core.model import reports
from batchyard.core.model.records import Status
from tests.core.driver import Driver


def test_an_end_of_an_attempt_that_is_not_current_is_only_acknowledged() -> None:
    driver = Driver()
    job = driver.submit()
    stranger = "0" * 15 + "9" + "a" * 16
    driver.report(reports.Lost(stranger, driver.now_ms, "gone"))
    assert driver.acknowledged == {stranger}
    assert driver.status(job) is Status.STARTING


def test_a_report_about_a_node_that_the_job_does_not_have_is_only_acknowledged() -> None:
    driver = Driver()
    job = driver.submit()
    attempt = driver.attempt_of(job)
    driver.report(reports.Lost(attempt, driver.now_ms, "gone", node=3))
    assert driver.status(job) is Status.STARTING
    assert len(driver.acknowledged) == 1
