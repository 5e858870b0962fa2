# CloudWatch Logs: groups with a retention, streams.

resource "aws_cloudwatch_log_group" "events" {
  name              = "/tfr/events"
  retention_in_days = var.most_vcpus == 4 ? 7 : 14
  tags              = local.tags
}

resource "aws_cloudwatch_log_stream" "own" {
  name           = "tfr-own"
  log_group_name = aws_cloudwatch_log_group.events.name
}
