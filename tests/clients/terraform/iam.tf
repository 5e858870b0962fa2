# Roles, policies and instance profiles: kept for such configurations, and nothing is allowed or refused by them.

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["batch.amazonaws.com", "ec2.amazonaws.com"]
    }
  }
}

data "aws_iam_policy" "of_aws" {
  name = "AmazonECSTaskExecutionRolePolicy"
}

resource "aws_iam_role" "job" {
  name                 = "tfr-job"
  path                 = "/tfr/"
  description          = "a ${var.shade} role"
  assume_role_policy   = data.aws_iam_policy_document.trust.json
  max_session_duration = var.most_vcpus * 900
  permissions_boundary = aws_iam_policy.read.arn
  tags                 = local.tags
}

resource "aws_iam_role_policy" "inline" {
  name = "inline"
  role = aws_iam_role.job.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = ["s3:GetObject"], Resource = "arn:aws:s3:::${var.shade}/*" },
    ]
  })
}

resource "aws_iam_policy" "read" {
  name        = "tfr-read"
  description = "reads"
  tags        = local.tags
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = { Effect = "Allow", Action = "s3:Get*", Resource = "arn:aws:s3:::${var.shade}/*" }
  })
}

resource "aws_iam_role_policy_attachment" "own" {
  role       = aws_iam_role.job.name
  policy_arn = aws_iam_policy.read.arn
}

resource "aws_iam_role_policy_attachment" "of_aws" {
  role       = aws_iam_role.job.name
  policy_arn = data.aws_iam_policy.of_aws.arn
}

resource "aws_iam_instance_profile" "instance" {
  name = "tfr-instance"
  role = aws_iam_role.job.name
  tags = local.tags
}

resource "aws_iam_service_linked_role" "batch" {
  aws_service_name = "batch.amazonaws.com"
  description      = "a ${var.shade} one"
  tags             = local.tags
}
