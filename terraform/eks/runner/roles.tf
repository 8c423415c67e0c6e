data "aws_iam_policy_document" "task_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }
  }
}

locals {
  # Repositories of images in ECR, which ECS pulls with the execution role. From elsewhere it
  # pulls without credentials.
  ecr      = [for image in [var.manager_image, var.worker_image] : regex("^([0-9]{12})\\.dkr\\.ecr\\.([a-z0-9-]+)\\.amazonaws\\.com[.a-z]*/([a-z0-9._/-]+)[:@]", image) if strcontains(image, ".dkr.ecr.")]
  ecr_arns = distinct([for part in local.ecr : "arn:${data.aws_partition.current.partition}:ecr:${part[1]}:${part[0]}:repository/${part[2]}"])
}

data "aws_iam_policy_document" "pull" {
  #checkov:skip=CKV_AWS_356:ecr:GetAuthorizationToken supports no resource.
  count = length(local.ecr_arns) > 0 ? 1 : 0

  statement {
    sid       = "LogInToTheRegistry"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }

  statement {
    sid       = "PullTheImages"
    actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    resources = local.ecr_arns
  }
}

# What ECS needs to start a task.
data "aws_iam_policy_document" "execution" {
  statement {
    sid       = "WriteLogs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.this.arn}:*"]
  }

  statement {
    sid       = "ReadTheToken"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [aws_secretsmanager_secret.token.arn]
  }

  statement {
    sid       = "DecryptTheToken"
    actions   = ["kms:Decrypt"]
    resources = [aws_kms_key.this.arn]
  }
}

# What the manager needs to run workers in this cluster.
data "aws_iam_policy_document" "manager" {
  statement {
    sid       = "StartWorkers"
    actions   = ["ecs:RunTask"]
    resources = ["${local.ecs_arn}:task-definition/${local.name}-worker:*"]

    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = ["${local.ecs_arn}:cluster/${local.name}"]
    }
  }

  statement {
    sid       = "WatchAndStopWorkers"
    actions   = ["ecs:DescribeTasks", "ecs:StopTask"]
    resources = ["${local.ecs_arn}:task/${local.name}/*"]
  }

  statement {
    sid     = "GiveWorkersTheirRole"
    actions = ["iam:PassRole"]
    # Derived from names, so that the plan that creates the role shows it.
    resources = ["arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:role/${local.name}-execution"]

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["ecs-tasks.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "execution" {
  name               = "${local.name}-execution"
  assume_role_policy = data.aws_iam_policy_document.task_trust.json
}

resource "aws_iam_role_policy" "execution" {
  name   = "start-tasks"
  role   = aws_iam_role.execution.id
  policy = data.aws_iam_policy_document.execution.json
}

resource "aws_iam_role_policy" "pull" {
  count = length(local.ecr_arns) > 0 ? 1 : 0

  name   = "pull-images"
  role   = aws_iam_role.execution.id
  policy = data.aws_iam_policy_document.pull[0].json
}

resource "aws_iam_role" "manager" {
  name               = "${local.name}-manager"
  assume_role_policy = data.aws_iam_policy_document.task_trust.json
}

resource "aws_iam_role_policy" "manager" {
  name   = "run-workers"
  role   = aws_iam_role.manager.id
  policy = data.aws_iam_policy_document.manager.json
}
