"""The words that Slurm's commands take and print."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.batch_systems.batch_system import JobState, NodeKind, PilotJob, PilotRequest, UnreadableAnswer
from batchyard.batch_systems.slurm import (
    SLURM,
    STATES,
    read_gpus,
    read_job_id,
    read_jobs,
    read_nodes,
    read_state,
    read_time_limit,
)

INSTANCE = "i-0123456789abcdef0"
SERVICE = "0a1b2c3d"
NAME = f"batchyard-{SERVICE}-{INSTANCE}"


def test_a_pilot_that_asks_for_everything() -> None:
    request = PilotRequest(
        SERVICE, INSTANCE, "long", "physics", "high", "fast&ib", True, 8, 16000, 2, "a100", 7200, notice_seconds=120
    )
    assert SLURM.submit.words(SLURM.values(request)) == [
        "sbatch",
        "--parsable",
        "--no-requeue",
        "--export=NIL",
        f"--job-name={NAME}",
        "--partition=long",
        "--account=physics",
        "--qos=high",
        "--constraint=fast&ib",
        "--nodes=1",
        "--ntasks=1",
        "--exclusive",
        "--cpus-per-task=8",
        "--mem=16000M",
        "--gres=gpu:a100:2",
        "--time=02:00:00",
        "--signal=B:TERM@120",
        "--chdir=/",
        "--output=/dev/null",
    ]


def test_a_pilot_that_asks_for_little() -> None:
    words = SLURM.submit.words(SLURM.values(PilotRequest(SERVICE, INSTANCE, gpus=1)))
    assert "--gres=gpu:1" in words
    assert not any(
        word.startswith(("--partition", "--account", "--qos", "--mem", "--time", "--signal")) or word == "--exclusive"
        for word in words
    )


@pytest.mark.parametrize(
    ("answer", "job_id"),
    [
        ("17\n", "17"),
        ("17;cluster\n", "17"),
        ("Welcome to the cluster\n\n67108881;east\n", "67108881"),  # of a federation: the cluster is in the upper bits
    ],
)
def test_the_id_of_a_new_job(answer: str, job_id: str) -> None:
    assert read_job_id(answer) == job_id


@pytest.mark.parametrize("answer", ["", "\n", "Submitted batch job\n", "17_4\n", "0\n", "17 18\n"])
def test_an_answer_without_an_id(answer: str) -> None:
    with pytest.raises(UnreadableAnswer):
        read_job_id(answer)


def test_jobs_as_they_are_listed() -> None:
    answer = f"""CLUSTER: east
41|PENDING|Resources|{NAME}
42|RUNNING|None|{NAME}
43|PENDING|ReqNodeNotAvail, UnavailableNodes:n[1|2]|{NAME}
44|CANCELLED by 1000|None|{NAME}
67108881|REQUEUE_FED|None|{NAME}
45_7|RUNNING|None|{NAME}
46+1|RUNNING|None|{NAME}
47|RUNNING|None|someone's|job
48|NODE_FAIL|NodeDown|{NAME}

49|
"""
    found = [(job.job_id, job.state, job.detail) for job in read_jobs(answer)]
    assert found == [
        ("41", JobState.QUEUED, "PENDING (Resources)"),
        ("42", JobState.RUNNING, "RUNNING"),
        ("43", JobState.QUEUED, "PENDING (ReqNodeNotAvail, UnavailableNodes:n[1|2])"),
        ("44", JobState.ENDED, "CANCELLED by 1000"),
        ("67108881", JobState.QUEUED, "REQUEUE_FED"),
        ("48", JobState.ENDED, "NODE_FAIL (NodeDown)"),
    ]


WORDS = st.sampled_from([*STATES, "LAUNCH_FAILED", "EXPEDITING"])
REASONS = st.text(st.characters(blacklist_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=30)
HEXES = st.text("0123456789abcdef", min_size=17, max_size=17)


@given(st.lists(st.tuples(st.integers(1, 2**32 - 1), WORDS, REASONS, HEXES), max_size=5))
def test_what_squeue_prints_is_read_back(jobs: list[tuple[int, str, str, str]]) -> None:
    """Whatever a site's plugins give as reasons."""
    lines = (f"{number}|{word}|{reason}|batchyard-{SERVICE}-i-{key}\n" for number, word, reason, key in jobs)
    found = read_jobs("".join(lines))
    assert [(job.job_id, job.instance_id, job.state) for job in found] == [
        (str(number), f"i-{key}", STATES.get(word, JobState.UNKNOWN)) for number, word, _, key in jobs
    ]


@given(st.text(max_size=200))
def test_no_text_of_a_site_is_a_fault(text: str) -> None:
    """Greetings, warnings and cut answers give no pilots, or whole ones."""
    for job in read_jobs(text):
        assert isinstance(job, PilotJob)
    for read in (read_job_id, read_nodes):
        try:
            read(text)
        except UnreadableAnswer:
            continue


@pytest.mark.parametrize("word", ["RUNNING+", "running", "COMPLETING"])
def test_a_running_job_may_have_other_words(word: str) -> None:
    assert read_state(word) is JobState.RUNNING


def test_a_state_that_is_not_known_may_mean_that_the_job_lives() -> None:
    job = PilotJob("1", SERVICE, INSTANCE, read_state("TELEPORTING"))
    assert job.state is JobState.UNKNOWN
    assert job.may_live
    assert read_state("") is JobState.UNKNOWN


def test_nodes_of_a_partition() -> None:
    answer = """n1|8|8192|(null)|infinite
n2|8|8192|(null)|infinite
n2|8|8192|(null)|infinite
g1|64+|512000+|gpu:a100:4(S:0-1)|1-00:00:00
"""
    assert read_nodes(answer) == (
        NodeKind(64, 512000, 4, "a100", 1, 86400),
        NodeKind(8, 8192, count=2),
    )


@pytest.mark.parametrize("line", ["n1|8|8192|(null)", "n1|x|8192|(null)|infinite", "n1|8|8192|(null)|1:2:3:4"])
def test_a_line_that_is_no_node(line: str) -> None:
    with pytest.raises(UnreadableAnswer):
        read_nodes(f"n0|1|1|(null)|infinite\n{line}\n")


@pytest.mark.parametrize(
    ("gres", "expected"),
    [
        ("(null)", (0, "")),
        ("", (0, "")),
        ("gpu:2", (2, "")),
        ("gpu", (1, "")),
        ("gpu:0", (0, "")),
        ("gpu:a100:4(S:0-1)", (4, "a100")),
        ("gpu:a100:4(S:0,2)", (4, "a100")),
        ("gpu:tesla:2,gpu:kepler:1,craynetwork:4", (3, "")),
        ("craynetwork:4,gpu:a100_1g.5gb:7(S:0)", (7, "a100_1g.5gb")),
        ("gpumem:40", (0, "")),
        ("mps:400,shard:8", (0, "")),
        ("gpu:h100:8(IDX:0-7)", (8, "h100")),
    ],
)
def test_gpus_of_a_node(gres: str, expected: tuple[int, str]) -> None:
    assert read_gpus(gres) == expected


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("infinite", 0),
        ("UNLIMITED", 0),
        ("n/a", 0),
        ("30", 1800),
        ("10:00", 600),
        ("4:00:00", 14400),
        ("1-00:00:00", 86400),
        ("2-12", 216000),
        ("1-1:30", 91800),
    ],
)
def test_time_limits(text: str, seconds: int) -> None:
    assert read_time_limit(text) == seconds


@given(st.integers(1, 10**7))
def test_a_time_limit_is_what_sinfo_made_of_it(seconds: int) -> None:
    days, rest = divmod(seconds, 86400)
    clock = f"{rest // 3600}:{rest // 60 % 60:02}:{rest % 60:02}"
    assert read_time_limit(f"{days}-{clock}" if days else clock) == seconds
