"""The words that PBS's commands take and print. The records have the form of recorded ones: attributes are indented by
four blanks, and long values go on in lines that begin with a tab."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.batch_systems.batch_system import JobState, PilotJob, PilotRequest, UnreadableAnswer
from batchyard.batch_systems.pbs import PBS, STATES, read_job_id, read_jobs

INSTANCE = "i-0123456789abcdef0"
SERVICE = "0a1b2c3d"
NAME = f"batchyard-{SERVICE}-{INSTANCE}"
LINE_WIDTH = 78  # qstat continues a value after so many characters

RECORDING = f"""Job Id: 11733571.pbs-m1.example.org
    Job_Name = {NAME}
    Job_Owner = alice@login1.example.org
    job_state = Q
    queue = workq
    server = pbs-m1.example.org
    Checkpoint = u
    ctime = Sat Nov 28 13:00:07 2026
    Error_Path = login1.example.org:/dev/null
    Hold_Types = n
    Join_Path = oe
    Keep_Files = n
    Mail_Points = n
    Priority = 0
    Rerunable = False
    Resource_List.mem = 8000mb
    Resource_List.ncpus = 4
    Resource_List.nodect = 1
    Resource_List.place = pack
    Resource_List.select = 1:ncpus=4:mem=8000mb
    Resource_List.walltime = 01:00:00
    Variable_List = PBS_O_HOME=/users/alice,PBS_O_LANG=en_US.UTF-8,PBS_O_LOGNAME=al
\tce,PBS_O_PATH=/usr/local/bin:/usr/bin:/bin,PBS_O_SHELL=/bin/bash,PBS_O_QUEUE=
\tworkq,PBS_O_HOST=login1.example.org
    comment = Not Running: Insufficient amount of resource: ncpus (R: 4 A: 0 T: 6
\t4)
    Submit_arguments = -N {NAME} -r n

Job Id: 11733572.pbs-m1.example.org
    Job_Name = batchyard-0a1b2c3d-i-0123456789abcdef1
    resources_used.cpupercent = 380
    resources_used.cput = 00:38:21
    resources_used.walltime = 00:10:12
    job_state = R
    exec_host = node17/0*4
    exec_vnode = (node17:ncpus=4:mem=8192000kb)
    stime = Sat Nov 28 13:02:00 2026
    session_id = 51234
    comment = Job run at Sat Nov 28 at 13:02 on (node17:ncpus=4:mem=8192000kb)

Job Id: 11733573[].pbs-m1.example.org
    Job_Name = {NAME}
    job_state = B
    array = True

Job Id: 11733574.pbs-m1.example.org
    Job_Name = simulation
    job_state = R

Job Id: 11733575.pbs-m1.example.org
    Job_Name = batchyard-0a1b2c3d-i-0123456789abcdef2
    job_state = F
    Exit_status = 271
    comment = Job run at Sat Nov 28 at 11:02 on (node17:ncpus=4) and finished
"""


def test_a_pilot_that_asks_for_everything() -> None:
    request = PilotRequest(
        SERVICE, INSTANCE, "workq", "physics", "", "model=xeon", True, 8, 16000, 2, "", 7200, notice_seconds=120
    )
    assert PBS.submit.words(PBS.values(request)) == (
        f"qsub -N {NAME} -q workq -A physics -l select=1:ncpus=8:mem=16000mb:ngpus=2:model=xeon -l place=excl "
        "-l walltime=02:00:00 -r n -m n -j oe -o /dev/null"
    ).split(" ")


def test_a_pilot_that_asks_for_little() -> None:
    words = PBS.submit.words(PBS.values(PilotRequest(SERVICE, INSTANCE)))
    assert words == f"qsub -N {NAME} -l select=1:ncpus=1 -r n -m n -j oe -o /dev/null".split(" ")


def test_the_id_of_a_new_job() -> None:
    assert read_job_id("11733571.pbs-m1.example.org\n") == "11733571.pbs-m1.example.org"
    assert read_job_id("qsub: notice: queue is full\n17\n") == "17"


@pytest.mark.parametrize("answer", ["", "qsub: Unknown queue\n", "17[].pbs\n", ".pbs\n"])
def test_an_answer_without_an_id(answer: str) -> None:
    with pytest.raises(UnreadableAnswer):
        read_job_id(answer)


def test_jobs_as_they_are_listed() -> None:
    found = [(job.job_id.partition(".")[0], job.instance_id[-1], job.state, job.detail) for job in read_jobs(RECORDING)]
    assert found == [
        (
            "11733571",
            "0",
            JobState.QUEUED,
            "Q (Not Running: Insufficient amount of resource: ncpus (R: 4 A: 0 T: 64))",
        ),
        ("11733572", "1", JobState.RUNNING, "R (Job run at Sat Nov 28 at 13:02 on (node17:ncpus=4:mem=8192000kb))"),
        ("11733575", "2", JobState.ENDED, "F (Job run at Sat Nov 28 at 11:02 on (node17:ncpus=4) and finished)"),
    ]


def attribute(name: str, value: str) -> str:
    """Writes an attribute as qstat does."""
    line, lines = f"    {name} = {value}", []
    while len(line) > LINE_WIDTH:
        lines.append(line[:LINE_WIDTH])
        line = "\t" + line[LINE_WIDTH:]
    return "\n".join([*lines, line, ""])


LETTERS = st.sampled_from([*STATES, "Z"])
COMMENTS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=200)
HEXES = st.text("0123456789abcdef", min_size=17, max_size=17)


@given(st.lists(st.tuples(st.integers(1, 10**8), LETTERS, COMMENTS, HEXES), max_size=4))
def test_what_qstat_prints_is_read_back(jobs: list[tuple[int, str, str, str]]) -> None:
    """Also values that qstat breaks anywhere, those that look like attributes and those that look like jobs."""
    text = "".join(
        f"Job Id: {number}.pbs\n"
        + attribute("Job_Name", f"batchyard-{SERVICE}-i-{key}")
        + attribute("job_state", letter)
        + attribute("comment", comment)
        + "\n"
        for number, letter, comment, key in jobs
    )
    assert read_jobs(text) == [
        PilotJob(f"{number}.pbs", SERVICE, f"i-{key}", STATES.get(letter, JobState.UNKNOWN), f"{letter} ({comment})")
        for number, letter, comment, key in jobs
    ]


@given(st.text(max_size=200))
def test_no_text_of_a_site_is_a_fault(text: str) -> None:
    assert all(job.instance_id for job in read_jobs("Job Id: 1.pbs\n" + text))
