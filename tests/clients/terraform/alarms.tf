# CloudWatch: alarms over metrics and over other alarms.

resource "aws_cloudwatch_metric_alarm" "failures" {
  alarm_name          = "tfr-failures"
  alarm_description   = "${var.shade} jobs fail"
  namespace           = "AWS/Batch"
  metric_name         = "JobsMovedToFailed"
  dimensions          = { JobQueueName = "tfr-main" }
  statistic           = "Sum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.most_vcpus
  period              = 60
  evaluation_periods  = 3
  datapoints_to_alarm = 2
  treat_missing_data  = "notBreaching"
  alarm_actions       = ["arn:aws:automate:us-east-1:123456789012:batch:cancel:tfr-main"]
  tags                = local.tags
}

resource "aws_cloudwatch_metric_alarm" "rate" {
  alarm_name          = "tfr-rate"
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 10.5 * var.most_vcpus
  evaluation_periods  = 1
  actions_enabled     = false

  metric_query {
    id          = "rate"
    expression  = "100 * failed / (failed + succeeded)"
    label       = "${var.shade} rate"
    return_data = true
  }
  metric_query {
    id = "failed"
    metric {
      namespace   = "AWS/Batch"
      metric_name = "JobsMovedToFailed"
      dimensions  = { JobQueueName = "tfr-main" }
      period      = 300
      stat        = "Sum"
    }
  }
  metric_query {
    id = "succeeded"
    metric {
      namespace   = "AWS/Batch"
      metric_name = "JobsMovedToSucceeded"
      dimensions  = { JobQueueName = "tfr-main" }
      period      = 300
      stat        = "Sum"
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "slow" {
  alarm_name                            = "tfr-slow"
  namespace                             = "AWS/Batch"
  metric_name                           = "JobAttemptExecutionDuration"
  dimensions                            = { JobQueueName = "tfr-main" }
  extended_statistic                    = var.shade == "red" ? "p90" : "p99"
  unit                                  = "Milliseconds"
  comparison_operator                   = "GreaterThanThreshold"
  threshold                             = 60000
  period                                = 60
  evaluation_periods                    = 1
  evaluate_low_sample_count_percentiles = "ignore"
}

resource "aws_cloudwatch_composite_alarm" "both" {
  alarm_name        = "tfr-both"
  alarm_description = var.shade
  alarm_rule        = "ALARM(${aws_cloudwatch_metric_alarm.failures.alarm_name}) AND NOT OK(${aws_cloudwatch_metric_alarm.rate.alarm_name})"
  tags              = local.tags
}
