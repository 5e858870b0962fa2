# EventBridge Scheduler: groups and schedules.

resource "aws_scheduler_schedule_group" "own" {
  name = "tfr-group"
  tags = local.tags
}

resource "aws_scheduler_schedule" "nightly" {
  name                         = "tfr-nightly"
  group_name                   = aws_scheduler_schedule_group.own.name
  description                  = var.shade
  schedule_expression          = "cron(0 ${var.most_vcpus} * * ? *)"
  schedule_expression_timezone = "Europe/Berlin"
  state                        = "DISABLED"

  flexible_time_window {
    mode                      = "FLEXIBLE"
    maximum_window_in_minutes = var.most_vcpus
  }

  target {
    arn      = "arn:aws:scheduler:::aws-sdk:batch:submitJob"
    role_arn = local.role
    input = jsonencode({
      JobName       = "tfr-${var.shade}"
      JobQueue      = "default"
      JobDefinition = "tfr-container"
    })
    retry_policy {
      maximum_event_age_in_seconds = 60 * var.most_vcpus
      maximum_retry_attempts       = var.most_vcpus
    }
  }
}

resource "aws_scheduler_schedule" "once" {
  name                = "tfr-once"
  schedule_expression = "at(2099-01-01T0${var.most_vcpus}:00:00)"

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = aws_sns_topic.alerts.arn
    role_arn = local.role
    input    = var.shade
  }
}
