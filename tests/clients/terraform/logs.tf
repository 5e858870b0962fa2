# CloudWatch Logs: groups with a retention, streams, filters, and queries with a name.

resource "aws_cloudwatch_log_group" "events" {
  name              = "/tfr/events"
  retention_in_days = var.most_vcpus == 4 ? 7 : 14
  tags              = local.tags
}

resource "aws_cloudwatch_log_stream" "own" {
  name           = "tfr-own"
  log_group_name = aws_cloudwatch_log_group.events.name
}

resource "aws_cloudwatch_log_metric_filter" "errors" {
  name           = "tfr-errors"
  log_group_name = aws_cloudwatch_log_group.events.name
  pattern        = "ERROR ${var.shade}"

  metric_transformation {
    name          = "Errors"
    namespace     = "tfr"
    value         = "1"
    default_value = "0"
    unit          = "Count"
  }
}

resource "aws_cloudwatch_log_metric_filter" "sizes" {
  name           = "tfr-sizes"
  log_group_name = aws_cloudwatch_log_group.events.name
  pattern        = "{ $.size > ${var.most_vcpus} }"

  metric_transformation {
    name       = "Size"
    namespace  = "tfr"
    value      = "$.size"
    dimensions = { Kind = "$.kind" }
  }
}

resource "aws_cloudwatch_query_definition" "errors" {
  name            = "tfr/errors"
  log_group_names = [aws_cloudwatch_log_group.events.name]
  query_string    = "fields @timestamp, @message | filter @message like /${var.shade}/"
}

resource "aws_cloudwatch_log_subscription_filter" "all" {
  name            = "tfr-all"
  log_group_name  = aws_cloudwatch_log_group.events.name
  filter_pattern  = "{ $.shade = ${var.shade} }"
  destination_arn = aws_cloudwatch_event_bus.own.arn
  role_arn        = local.role
}
