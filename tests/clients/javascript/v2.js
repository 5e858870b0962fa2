// A job by the AWS SDK for JavaScript v2, which knows no AWS_ENDPOINT_URL_*: the address is an argument of each client.
const AWS = require("aws-sdk");

const endpoint = process.env.AWS_ENDPOINT_URL_BATCH;
const batch = new AWS.Batch({ endpoint });
const logs = new AWS.CloudWatchLogs({ endpoint });
const [name] = process.argv.slice(2);

async function main() {
  await batch.registerJobDefinition({
    jobDefinitionName: name,
    type: "container",
    containerProperties: { image: "busybox", command: ["echo", "hello", name], vcpus: 1, memory: 64 },
  }).promise();
  const { jobId } = await batch.submitJob({ jobName: name, jobQueue: "default", jobDefinition: name }).promise();
  for (;;) {
    const { jobs: [job] } = await batch.describeJobs({ jobs: [jobId] }).promise();
    if (job.status === "SUCCEEDED" || job.status === "FAILED") {
      const { events } = await logs.getLogEvents({
        logGroupName: "/aws/batch/job", logStreamName: job.container.logStreamName, startFromHead: true,
      }).promise();
      console.log(JSON.stringify({ jobId, status: job.status, lines: events.map((event) => event.message) }));
      break;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  let refused = "";
  try {
    await batch.submitJob({ jobName: name, jobQueue: "default", jobDefinition: "no-such-definition" }).promise();
  } catch (error) {
    refused = `${error.code} ${error.statusCode}`;
  }
  console.log(JSON.stringify({ refused }));
}

main();
