# EventBridge: buses, rules, their targets, and API destinations.

resource "aws_cloudwatch_event_bus" "own" {
  name        = "tfr-bus"
  description = "a ${var.shade} bus"
  tags        = local.tags
}

resource "aws_cloudwatch_event_rule" "failed" {
  name        = "tfr-failed"
  description = "${var.shade} jobs that failed"
  tags        = local.tags
  event_pattern = jsonencode({
    source      = ["aws.batch"]
    detail-type = ["Batch Job State Change"]
    detail      = { status = ["FAILED"], jobName = [{ prefix = var.shade }] }
  })
}

resource "aws_cloudwatch_event_rule" "nightly" {
  name                = "tfr-nightly"
  schedule_expression = "cron(0 ${var.most_vcpus} * * ? *)"
  state               = "DISABLED"
}

resource "aws_cloudwatch_event_rule" "on_bus" {
  name           = "tfr-on-bus"
  event_bus_name = aws_cloudwatch_event_bus.own.name
  event_pattern  = jsonencode({ source = ["own.${var.shade}"] })
}

resource "aws_cloudwatch_event_target" "log" {
  rule      = aws_cloudwatch_event_rule.failed.name
  target_id = "log"
  arn       = aws_cloudwatch_log_group.events.arn

  input_transformer {
    input_paths    = { job = "$.detail.jobName", status = "$.detail.status" }
    input_template = "{\"timestamp\": \"\", \"message\": \"${var.shade}: <job> is <status>\"}"
  }
  retry_policy {
    maximum_event_age_in_seconds = 60 * var.most_vcpus
    maximum_retry_attempts       = var.most_vcpus
  }
}

resource "aws_cloudwatch_event_target" "job" {
  rule      = aws_cloudwatch_event_rule.nightly.name
  target_id = "job"
  arn       = "arn:aws:batch:us-east-1:123456789012:job-queue/default"
  role_arn  = local.role
  input     = jsonencode({ Parameters = { shade = var.shade } })

  batch_target {
    job_definition = "tfr-container"
    job_name       = "tfr-nightly-${var.shade}"
    array_size     = 2
    job_attempts   = 2
  }
}

resource "aws_cloudwatch_event_target" "elsewhere" {
  rule           = aws_cloudwatch_event_rule.on_bus.name
  event_bus_name = aws_cloudwatch_event_bus.own.name
  arn            = aws_cloudwatch_event_api_destination.hook.arn
  role_arn       = local.role
  input_path     = "$.detail"

  http_target {
    header_parameters = { Shade = var.shade }
  }
}

resource "aws_cloudwatch_event_connection" "hook" {
  name               = "tfr-hook"
  description        = "a ${var.shade} one"
  authorization_type = "API_KEY"

  auth_parameters {
    api_key {
      key   = "x-key"
      value = "secret ${var.shade}"
    }
  }
}

resource "aws_cloudwatch_event_api_destination" "hook" {
  name                             = "tfr-hook"
  invocation_endpoint              = "https://example.com/${var.shade}"
  http_method                      = "POST"
  invocation_rate_limit_per_second = var.most_vcpus
  connection_arn                   = aws_cloudwatch_event_connection.hook.arn
}
