# SNS: topics and subscriptions.

resource "aws_sns_topic" "alerts" {
  name         = "tfr-alerts"
  display_name = "${var.shade} alerts"
  tags         = local.tags

  delivery_policy = jsonencode({
    http = {
      defaultHealthyRetryPolicy = {
        numRetries         = var.most_vcpus
        minDelayTarget     = 1
        maxDelayTarget     = 5
        numNoDelayRetries  = 0
        numMinDelayRetries = 0
        numMaxDelayRetries = 0
        backoffFunction    = "linear"
      }
      disableSubscriptionOverrides = false
    }
  })
}

resource "aws_sns_topic_policy" "alerts" {
  arn = aws_sns_topic.alerts.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = var.shade
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = "sns:Publish"
        Resource  = aws_sns_topic.alerts.arn
      },
    ]
  })
}

resource "aws_sns_topic_subscription" "hook" {
  topic_arn              = aws_sns_topic.alerts.arn
  protocol               = "http"
  endpoint               = "http://127.0.0.1:9/${var.most_vcpus > 0 ? "hook" : ""}"
  raw_message_delivery   = var.shade == "red"
  endpoint_auto_confirms = false
  filter_policy          = jsonencode({ shade = [var.shade] })
}

resource "aws_sns_topic_subscription" "mail" {
  topic_arn           = aws_sns_topic.alerts.arn
  protocol            = "email"
  endpoint            = "owner@example.com"
  filter_policy_scope = "MessageBody"
  filter_policy       = jsonencode({ shade = [{ prefix = var.shade }] })
}
