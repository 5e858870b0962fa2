"""Reports name the node that they are about."""

from __future__ import annotations

from batchyard.core.model import names
from batchyard.core.model.attempt_node import parse_node
from batchyard.core.model.reports import ContainerExit, Exited, Lost, Started


def test_a_report_of_node_0_has_the_attempt_s_own_id() -> None:
    attempt_id = names.task_id(5, 1, "job")
    assert Started(attempt_id, 1000).task_id == attempt_id
    assert Lost(attempt_id, 1000, "gone").node == 0


def test_a_report_of_another_node_has_an_id_that_leads_back() -> None:
    attempt_id = names.task_id(5, 1, "job")
    report = Exited(attempt_id, 1000, 2000, (ContainerExit(exit_code=0),), node=3)
    assert report.task_id != attempt_id
    assert parse_node(report.task_id) == (attempt_id, 3)
