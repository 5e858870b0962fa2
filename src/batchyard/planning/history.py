"""A workload from what the service itself ran."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from batchyard.analysis.past_runs import PastRun
from batchyard.planning.workload import ITSELF, PlannedJob, TraceError, Workload

NOTES = {
    "running": "attempts left out: they still ran.",
    "partial": "arrays taken as single jobs: not all their children ran in the span.",
    "outside": "dependencies left out: the job they are on ran before the span, or did not run.",
}


def workload_of(runs: Iterable[PastRun]) -> Workload:
    """Makes the jobs of a history. A job that was run again runs once, as long as its last attempt: losses are the
    simulation's to decide."""
    counts: Counter[str] = Counter()
    children: dict[str, dict[int, PastRun]] = {}
    for run in runs:
        if not run.stopped_at_ms:
            counts["running"] += 1
        elif run.is_last:
            parent, _, index = run.job_id.partition(":")
            children.setdefault(parent, {})[int(index or 0)] = run
    if not children:
        raise TraceError("No job has ended in that time. --since looks further back.")
    submissions = _submissions(children, counts)
    submissions.sort(key=lambda one: (min(run.created_at_ms for run in one[1]), one[0]))
    places = {parent: place for place, (parent, _) in enumerate(submissions)}
    first = min(run.created_at_ms for _, found in submissions for run in found)
    jobs = [_job(found, place, first, places, counts) for place, (_, found) in enumerate(submissions)]
    notes = tuple(f"{count:,} {NOTES[name]}" for name, count in sorted(counts.items()))
    total = sum(job.size for job in jobs)
    return Workload(jobs, f"the service's own history, {total:,} jobs", notes)


def _submissions(
    children: Mapping[str, Mapping[int, PastRun]], counts: Counter[str]
) -> list[tuple[str, list[PastRun]]]:
    """Returns (job id, runs in the order of the children); of an array of which children are missing each child
    alone."""
    found: list[tuple[str, list[PastRun]]] = []
    for parent, runs in children.items():
        ordered = [runs[index] for index in sorted(runs)]
        if len(ordered) == max(1, ordered[0].array_size):
            found.append((parent, ordered))
        else:
            counts["partial"] += 1
            found += [(run.job_id, [run]) for run in ordered]
    return found


def _job(runs: list[PastRun], place: int, first_ms: int, places: Mapping[str, int], counts: Counter[str]) -> PlannedJob:
    one = runs[0]
    nodes = max(1, one.num_nodes)
    depends_on = []
    for job_id, kind in one.depends_on:
        if not job_id and len(runs) > 1:
            depends_on.append((ITSELF, kind))
        elif places.get(job_id, place) < place:
            depends_on.append((places[job_id], kind))
        else:
            counts["outside"] += 1
    return PlannedJob(
        submit_ms=min(run.created_at_ms for run in runs) - first_ms,
        runs_ms=tuple(max(1, run.stopped_at_ms - run.started_at_ms) for run in runs),
        milli_vcpus=one.milli_vcpus // nodes,
        memory_mib=one.memory_mib // nodes,
        gpus=one.gpus // nodes,
        nodes=nodes,
        queue=one.queue,
        share=one.share,
        priority=one.priority,
        limit_ms=one.limit_ms,
        definition=one.definition_name,
        depends_on=tuple(depends_on),
    )
