// A job by the AWS SDK for JavaScript v3, which finds everything in its environment.
import { BatchClient, DescribeJobsCommand, RegisterJobDefinitionCommand, SubmitJobCommand } from "@aws-sdk/client-batch";
import { CloudWatchLogsClient, GetLogEventsCommand } from "@aws-sdk/client-cloudwatch-logs";

const batch = new BatchClient({});
const logs = new CloudWatchLogsClient({});
const [name] = process.argv.slice(2);

await batch.send(new RegisterJobDefinitionCommand({
  jobDefinitionName: name,
  type: "container",
  parameters: { who: "nobody" },
  containerProperties: {
    image: "busybox",
    command: ["echo", "hello", "Ref::who"],
    resourceRequirements: [{ type: "VCPU", value: "1" }, { type: "MEMORY", value: "64" }],
  },
}));
const { jobId } = await batch.send(new SubmitJobCommand({
  jobName: name, jobQueue: "default", jobDefinition: name, parameters: { who: name },
}));
for (;;) {
  const { jobs: [job] } = await batch.send(new DescribeJobsCommand({ jobs: [jobId] }));
  if (job.status === "SUCCEEDED" || job.status === "FAILED") {
    const { events } = await logs.send(new GetLogEventsCommand({
      logGroupName: "/aws/batch/job", logStreamName: job.container.logStreamName, startFromHead: true,
    }));
    console.log(JSON.stringify({ jobId, status: job.status, lines: events.map((event) => event.message) }));
    break;
  }
  await new Promise((resolve) => setTimeout(resolve, 100));
}
let refused = "";
try {
  await batch.send(new SubmitJobCommand({ jobName: name, jobQueue: "default", jobDefinition: "no-such-definition" }));
} catch (error) {
  refused = `${error.name} ${error.$metadata.httpStatusCode}`;
}
console.log(JSON.stringify({ refused }));
