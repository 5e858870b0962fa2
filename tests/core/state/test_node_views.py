"""A node as a job of its own: what it runs, its state, its attempts (AWS Batch behaviour 8.4)."""

from batchyard.core.model.records import Attempt, Job, NodeRun, Placement, Status
from batchyard.core.state.node_views import NOT_LAUNCHED, node_attempt, node_job, node_status

PLACES = tuple(Placement(f"i-{node}") for node in range(3))


def attempt(*runs: NodeRun) -> Attempt:
    return Attempt(1, "e", "process", PLACES, nodes=runs, started_at_ms=5)


def test_states_of_nodes_follow_their_runs() -> None:
    runs = NodeRun(1, 2), NodeRun(3), NodeRun()
    job = Job(1, Status.RUNNING, 0, attempt=attempt(*runs))
    assert [node_status(job, node) for node in range(3)] == [Status.RUNNING, Status.STARTING, Status.RUNNABLE]
    runs = NodeRun(1, 2, 3, 0), NodeRun(1, 2, 3, 1), NodeRun()
    job = Job(1, Status.FAILED, 0, past=(attempt(*runs),))
    assert [node_status(job, node) for node in range(3)] == [Status.SUCCEEDED, Status.FAILED, Status.FAILED]
    assert node_job(job, 2).status_reason == NOT_LAUNCHED
    assert node_status(Job(1, Status.PENDING, 0), 1) is Status.PENDING


def test_an_attempt_of_a_node_has_its_place_and_its_times() -> None:
    found = node_attempt(attempt(NodeRun(), NodeRun(1, 2, 3, 4, "why"), NodeRun()), 1)
    assert (found.main.instance_id, found.started_at_ms, found.stopped_at_ms) == ("i-1", 2, 3)
    assert (found.exit_code, found.reason, found.nodes) == (4, "why", ())


def test_a_node_that_ended_shows_its_end_while_the_job_runs_on() -> None:
    runs = NodeRun(1, 2), NodeRun(1, 2, 9, 7, status_reason="ended"), NodeRun(1)
    found = node_job(Job(1, Status.RUNNING, 0, attempt=attempt(*runs)), 1)
    assert (found.status, found.status_reason, found.stopped_at_ms) == (Status.FAILED, "ended", 9)
    assert found.attempt is None
    assert found.past[0].exit_code == 7
