"""What jobs leave behind outside the service: one file per attempt, so that nobody's word needs to be trusted.

The file is made with O_EXCL; a second run of the same attempt shows as a second start line, a run that begins while an
earlier attempt of the job lives as `overlap`, one that begins before its dependency succeeded as `early`.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

# PLAN: the exit code of each attempt. NAP: seconds that it runs, or a file to wait for. AFTER: the job it depends on.
SCRIPT = r"""
set -C
file="$TRACES/$AWS_BATCH_JOB_ID.$AWS_BATCH_JOB_ATTEMPT"
true > "$file" 2> /dev/null || echo again >> "$file"
before="$TRACES/$AWS_BATCH_JOB_ID.$((AWS_BATCH_JOB_ATTEMPT - 1))"
if [ -s "$before" ]; then
    read -r word pid < "$before"
    state=Z
    { read -r _ _ state _ < "/proc/$pid/stat"; } 2> /dev/null
    case "$state" in [ZX]) ;; *) echo overlap >> "$file" ;; esac
fi
[ -z "$AFTER" ] || cat "$TRACES/$AFTER".* | grep -q '^end 0' || echo early >> "$file"
echo "start $$" >> "$file"
case "$NAP" in
    /*) until [ -e "$NAP" ]; do sleep 0.02; done ;;
    *) sleep "$NAP" ;;
esac
set -- $PLAN
shift $((AWS_BATCH_JOB_ATTEMPT - 1))
echo "end ${1:-0}" >> "$file"
exit "${1:-0}"
"""


class Trace(NamedTuple):
    job_id: str  # with the child's index
    attempt: int
    lines: list[str]

    @property
    def starts(self) -> int:
        return sum(line.startswith(("start", "again")) for line in self.lines)

    @property
    def pid(self) -> int:
        return next((int(line.split()[1]) for line in self.lines if line.startswith("start ")), 0)

    @property
    def code(self) -> int | None:
        """The exit code that the attempt was about to end with."""
        return next((int(line.split()[1]) for line in self.lines if line.startswith("end ")), None)

    def faults(self) -> list[str]:
        found = [
            f"{self.job_id}.{self.attempt}: {line}" for line in self.lines if line in ("again", "overlap", "early")
        ]
        return found or ([f"{self.job_id}.{self.attempt} ran {self.starts} times"] if self.starts > 1 else [])


def read_traces(directory: Path) -> dict[tuple[str, int], Trace]:
    """By job id and attempt number."""
    found = {}
    for path in sorted(directory.iterdir()):
        job_id, _, attempt = path.name.rpartition(".")
        found[job_id, int(attempt)] = Trace(job_id, int(attempt), path.read_text().splitlines())
    return found
