# All that Terraform's AWS provider can make here, with a variable for each thing that is changed in place.

terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

# The addresses and the credentials are in the environment.
provider "aws" {}

variable "shade" {
  type    = string
  default = "blue"
}

variable "most_vcpus" {
  type    = number
  default = 4
}

locals {
  role = "arn:aws:iam::123456789012:role/AWSBatchServiceRole"
  tags = { Shade = var.shade }
}

data "aws_caller_identity" "me" {}

data "aws_batch_job_queue" "default" {
  name = "default"
}

output "account" {
  value = data.aws_caller_identity.me.account_id
}

output "default_queue" {
  value = data.aws_batch_job_queue.default.arn
}

resource "aws_batch_compute_environment" "own" {
  compute_environment_name = "tfr-own"
  type                     = "UNMANAGED"
  service_role             = local.role
  tags                     = local.tags
}

resource "aws_batch_compute_environment" "ec2" {
  compute_environment_name = "tfr-ec2"
  type                     = "MANAGED"
  service_role             = local.role
  tags                     = local.tags

  compute_resources {
    type                = "EC2"
    allocation_strategy = "BEST_FIT_PROGRESSIVE"
    min_vcpus           = 0
    max_vcpus           = var.most_vcpus
    instance_type       = ["c5.large"]
    instance_role       = "arn:aws:iam::123456789012:instance-profile/ecsInstanceRole"
    subnets             = ["subnet-0123456789abcdef0"]
    security_group_ids  = ["sg-0123456789abcdef0"]
    tags                = { Name = "node" }
  }
}

resource "aws_batch_compute_environment" "fargate" {
  compute_environment_name = "tfr-fargate"
  type                     = "MANAGED"
  service_role             = local.role
  tags                     = local.tags

  compute_resources {
    type               = "FARGATE"
    max_vcpus          = var.most_vcpus
    subnets            = ["subnet-0123456789abcdef0"]
    security_group_ids = ["sg-0123456789abcdef0"]
  }
}

resource "aws_batch_scheduling_policy" "fair" {
  name = "tfr-fair"
  tags = local.tags

  fair_share_policy {
    compute_reservation = 1
    share_decay_seconds = var.most_vcpus * 900

    share_distribution {
      share_identifier = "A1*"
      weight_factor    = 0.1
    }
    share_distribution {
      share_identifier = "A2"
      weight_factor    = 0.2
    }
  }
}

resource "aws_batch_job_queue" "main" {
  name     = "tfr-main"
  state    = "ENABLED"
  priority = var.most_vcpus
  tags     = local.tags

  compute_environment_order {
    order               = 1
    compute_environment = aws_batch_compute_environment.ec2.arn
  }
  job_state_time_limit_action {
    action           = "CANCEL"
    max_time_seconds = 600
    reason           = "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY"
    state            = "RUNNABLE"
  }
}

resource "aws_batch_job_queue" "fair" {
  name                  = "tfr-fair"
  state                 = "ENABLED"
  priority              = 1
  scheduling_policy_arn = aws_batch_scheduling_policy.fair.arn

  compute_environment_order {
    order               = 1
    compute_environment = aws_batch_compute_environment.own.arn
  }
}

resource "aws_batch_job_queue" "fargate" {
  name     = "tfr-fargate"
  state    = "ENABLED"
  priority = 1

  compute_environment_order {
    order               = 1
    compute_environment = aws_batch_compute_environment.fargate.arn
  }
}

resource "aws_secretsmanager_secret" "db" {
  name                    = "tfr/db"
  description             = "a ${var.shade} one"
  recovery_window_in_days = 0
  tags                    = local.tags
}

resource "aws_secretsmanager_secret_version" "db" {
  secret_id     = aws_secretsmanager_secret.db.id
  secret_string = "secret ${var.shade}"
}

resource "aws_ssm_parameter" "token" {
  name  = "/tfr/token"
  type  = "SecureString"
  value = "token ${var.shade}"
  tags  = local.tags
}

resource "aws_batch_job_definition" "container" {
  name                  = "tfr-container"
  type                  = "container"
  parameters            = { who = "nobody" }
  platform_capabilities = ["EC2"]
  propagate_tags        = true
  tags                  = local.tags
  depends_on            = [aws_secretsmanager_secret_version.db]

  container_properties = jsonencode({
    command          = ["sh", "-c", "echo $FROM: $PASSWORD, $TOKEN"]
    image            = "busybox"
    jobRoleArn       = "arn:aws:iam::123456789012:role/job"
    executionRoleArn = "arn:aws:iam::123456789012:role/exec"
    environment      = [{ name = "FROM", value = var.shade }]
    resourceRequirements = [
      { type = "VCPU", value = "1" },
      { type = "MEMORY", value = "64" },
    ]
    secrets = [
      { name = "PASSWORD", valueFrom = aws_secretsmanager_secret.db.arn },
      { name = "TOKEN", valueFrom = aws_ssm_parameter.token.arn },
    ]
    ulimits = [{ name = "nofile", hardLimit = 1024, softLimit = 1024 }]
  })

  retry_strategy {
    attempts = 3
    evaluate_on_exit {
      action           = "RETRY"
      on_status_reason = "Host EC2*"
    }
    evaluate_on_exit {
      action    = "EXIT"
      on_reason = "*"
    }
  }

  timeout {
    attempt_duration_seconds = 120
  }
}

resource "aws_batch_job_definition" "fargate" {
  name                  = "tfr-fargate"
  type                  = "container"
  platform_capabilities = ["FARGATE"]

  container_properties = jsonencode({
    command                      = ["echo", "hello"]
    image                        = "busybox"
    executionRoleArn             = "arn:aws:iam::123456789012:role/exec"
    fargatePlatformConfiguration = { platformVersion = "LATEST" }
    networkConfiguration         = { assignPublicIp = "ENABLED" }
    resourceRequirements = [
      { type = "VCPU", value = "0.25" },
      { type = "MEMORY", value = "512" },
    ]
  })
}

resource "aws_batch_job_definition" "several" {
  name = "tfr-several"
  type = "container"

  ecs_properties = jsonencode({
    taskProperties = [{
      executionRoleArn = "arn:aws:iam::123456789012:role/exec"
      containers = [
        {
          name                 = "main"
          image                = "busybox"
          command              = ["echo", "main"]
          essential            = true
          dependsOn            = [{ containerName = "side", condition = "COMPLETE" }]
          resourceRequirements = [{ type = "VCPU", value = "1" }, { type = "MEMORY", value = "64" }]
        },
        {
          name                 = "side"
          image                = "busybox"
          command              = ["echo", "side"]
          essential            = false
          resourceRequirements = [{ type = "VCPU", value = "1" }, { type = "MEMORY", value = "64" }]
        },
      ]
    }]
  })
}
