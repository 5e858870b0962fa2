"""A service of which every page is the same each time: ids are counted, time stands still, and the scene's author plays
the engine. For pictures of pages that can be compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from batchyard.console.job_logs import find_place
from batchyard.core.model import reports
from batchyard.core.model.records import log_file_container, logs_of
from batchyard.job_metrics.records import QueueMinute
from batchyard.observe.logfile import log_path
from batchyard.server.metrics.own_metrics import data_of_minute
from tests.api.service import container
from tests.browser.pipeline import make_schedule, make_workflow
from tests.console.site import Console

HOSTILE = "<script>alert(1)</script>"
MINUTE_MS = 60_000


class Scene(Console):
    """What is shown: a pipeline whose second step failed, an array with failures, a job that runs, and one that waits
    for what there is nowhere."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.ids: dict[str, str] = {}
        self.make_queue()
        self._register()
        self._pipeline()
        self._others()
        self._workflow()

    def pages(self) -> dict[str, str]:
        """The pages by the names of their pictures."""
        ids = self.ids
        return {
            "overview": "",
            "jobs": "jobs",
            "jobs-failed": "jobs?state=failed",
            "job-failed": f"jobs/{ids['clean']}",
            "job-waits": f"jobs/{ids['huge']}",
            "job-runs": f"jobs/{ids['train']}",
            "job-hostile": f"jobs/{ids['evil']}",
            "job-terminate": f"jobs/{ids['train']}/terminate",
            "job-resubmit": f"jobs/{ids['clean']}/resubmit",
            "array": f"jobs/{ids['transform']}",
            "gang": f"jobs/{ids['gang']}",
            "queues": "queues",
            "queue": "queues/default",
            "environments": "environments",
            "environment": "environments/local",
            "definitions": "definitions",
            "definition": "definitions/train/2?against=1",
            "definition-submit": "definitions/train/2/submit",
            "more": "more",
            "alarms": "alarms",
            "rules": "rules",
            "schedules": "schedules",
            "topics": "topics",
            "secrets": "secrets",
            "log-groups": "log-groups",
            "doctor": "doctor",
            "workflows": "workflows",
            "workflow": "workflows/nightly",
            "execution": "workflows/nightly/executions/running",
            "execution-failed": "workflows/nightly/executions/failing",
            "workflow-start": "workflows/nightly/start",
            "metrics": "metrics?namespace=AWS/Batch&name=SucceededJobCount&range=1h",
            "insights": "insights?q=stats+count(*)+as+lines+by+@jobName",
            "alarm": "alarm?name=late",
            "rule": "rule?name=ends",
            "schedule": "schedule?name=nightly",
            "topic": "topic?name=failures",
            "log-group": "log-group?name=/aws/batch/job&pattern=bad",
            "not-found": "jobs/none",
        }

    def _register(self) -> None:
        self.register("ingest", containerProperties=_asks("1", "512", "./ingest", "Ref::day"))
        self.register("clean", containerProperties=_asks("1", "1024", "./clean", "--strict"))
        self.register("part", containerProperties=_asks("1", "256", "./transform"))
        self.register("train", containerProperties=_asks("1", "1024", "./train", "--epochs", "10"))
        self.register("train", containerProperties=_asks("2", "2048", "./train", "--epochs", "20"))
        self.register("huge", containerProperties=_asks("64", "4096", "./solve"))
        self.register("evil", containerProperties=_asks("1", "64", "sh", "-c", f"echo '{HOSTILE}'"))

    def _pipeline(self) -> None:
        self.ids["ingest"] = self.submit("ingest", "ingest", parameters={"day": "2023-11-14"}, tags={"team": "web"})
        self.ids["clean"] = self.submit("clean", "clean", dependsOn=[{"jobId": self.ids["ingest"]}])
        self.ids["report"] = self.submit("part", "report", dependsOn=[{"jobId": self.ids["clean"]}])
        self._run("ingest", 0, "", 2400, "reading access-2023-11-14.log", "200,000 lines")
        self._run("clean", 37, "bad row", 3100, *(f"row {n} is fine" for n in range(4703, 4711)), "bad row 4711")
        self.ids["transform"] = self.submit("part", "transform", arrayProperties={"size": 50})
        for index in range(4):
            child = f"{self.ids['transform']}:{index}"
            self.start(child)
            self._log(child, f"part-{index:04d}.csv")
            self.end(child, 9 if index == 3 else 0, "bad input" if index == 3 else "", ran_ms=800)
        self.call("TerminateJob", {"jobId": self.ids["transform"], "reason": "one part was bad"})
        for child in [one for one in self.launched if one.startswith(self.ids["transform"])][4:]:
            at = self.launched[child].attempt_node
            killed = reports.ContainerExit(exit_code=137, reason="")
            self.report(reports.Exited(at.attempt_id, self.now_ms, self.now_ms, (killed,), node=at.node))

    def _others(self) -> None:
        self.ids["evil"] = self.submit("evil", "evil", tags={HOSTILE: HOSTILE}, parameters={"p": HOSTILE})
        self._run("evil", 1, HOSTILE, 100, f"{HOSTILE}\x1b]0;x\x07 \x1b[31mred\x1b[0m", "<img src=x onerror=alert(2)>")
        ranges = [{"targetNodes": "0:1", "container": _asks("1", "256", "mpirun", "./solve")}]
        nodes = {"numNodes": 2, "mainNode": 0, "nodeRangeProperties": ranges}
        gang = {"jobDefinitionName": "gang", "type": "multinode", "nodeProperties": nodes}
        self.call("RegisterJobDefinition", gang)
        self.ids["gang"] = self.submit("gang", "solve")
        self.tick(5 * MINUTE_MS)
        self.ids["train"] = self.submit("train:2", "train", tags={"team": "ml"})
        self.start(self.ids["train"])
        self._log(self.ids["train"], *(f"epoch {n} loss {1 / n:.4f}" for n in range(1, 8)))
        self.ids["eval"] = self.submit("train:2", "eval")
        self.ids["huge"] = self.submit("huge", "huge")
        for minute in range(1, 50):
            ended = {"JobsMovedToSucceeded": minute * 7 % 11 + 1, "JobsMovedToFailed": minute % 5 + 1}
            counted = QueueMinute("default", (self.now_ms // MINUTE_MS - minute) * 60, ended)
            self.metrics.put(list(data_of_minute(counted)))
        topic = self.client("sns").create_topic(Name="failures")["TopicArn"]
        self.client("events").put_rule(Name="ends", EventPattern='{"source":["aws.batch"]}', Description=HOSTILE)
        self.client("secretsmanager").create_secret(Name="prod/token", SecretString="hidden")
        alarm: dict[str, Any] = {"AlarmName": "late", "Namespace": "x", "MetricName": "y", "Statistic": "Sum"}
        alarm |= {"EvaluationPeriods": 1, "Threshold": 1.0, "ComparisonOperator": "GreaterThanThreshold", "Period": 60}
        self.client("cloudwatch").put_metric_alarm(**alarm, AlarmActions=[topic])
        self.tick(12_000)

    def _workflow(self) -> None:
        make_workflow(self.client("stepfunctions"), {"Type": "Wait", "Seconds": 600})
        make_schedule(self.client("scheduler"))
        self.client("cloudwatch").set_alarm_state(AlarmName="late", StateValue="ALARM", StateReason=HOSTILE)
        self.tick(42_000)

    def _run(self, name: str, exit_code: int, reason: str, ran_ms: int, *lines: str) -> None:
        job_id = self.ids[name]
        self.start(job_id)
        self._log(job_id, *lines)
        self.end(job_id, exit_code, reason, ran_ms=ran_ms)

    def _log(self, job_id: str, *lines: str) -> None:
        (view,) = self.reader.jobs([job_id])
        place = find_place(view)
        assert place is not None, f"{job_id} has no log"
        name = log_file_container(view.spec, logs_of(view.spec)[0].container)
        path = log_path(self.context.logs_directory, view.task_id(place.number), name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{self.now_ms + 100 * number}\t{line}\n" for number, line in enumerate(lines)))


def _asks(vcpus: str, mib: str, *command: str) -> dict[str, Any]:
    asks = [{"type": "VCPU", "value": vcpus}, {"type": "MEMORY", "value": mib}]
    return container(command=list(command), resourceRequirements=asks)
