# Step Functions: state machines with published versions, aliases and activities.

resource "aws_sfn_activity" "person" {
  name = "tfr-person"
  tags = local.tags
}

resource "aws_sfn_state_machine" "pipeline" {
  name     = "tfr-pipeline"
  role_arn = local.role
  publish  = true
  tags     = local.tags

  definition = jsonencode({
    Comment = var.shade
    StartAt = "Work"
    States = {
      Work = {
        Type     = "Task"
        Resource = "arn:aws:states:::batch:submitJob.sync"
        Parameters = {
          JobName       = "tfr-${var.shade}"
          JobQueue      = aws_batch_job_queue.main.name
          JobDefinition = "tfr-container"
        }
        Next = "Ask"
      }
      Ask = {
        Type           = "Task"
        Resource       = aws_sfn_activity.person.id
        TimeoutSeconds = 60 * var.most_vcpus
        End            = true
      }
    }
  })

  logging_configuration {
    log_destination        = "${aws_cloudwatch_log_group.events.arn}:*"
    include_execution_data = true
    level                  = "ERROR"
  }
}

resource "aws_sfn_state_machine" "quick" {
  name     = "tfr-quick"
  role_arn = local.role
  type     = "EXPRESS"

  definition = jsonencode({
    QueryLanguage = "JSONata"
    StartAt       = "Double"
    States = {
      Double = { Type = "Pass", Output = "{% $states.input * ${var.most_vcpus} %}", End = true }
    }
  })
}

resource "aws_sfn_alias" "live" {
  name        = "live"
  description = var.shade

  routing_configuration {
    state_machine_version_arn = aws_sfn_state_machine.pipeline.state_machine_version_arn
    weight                    = 100
  }
}
