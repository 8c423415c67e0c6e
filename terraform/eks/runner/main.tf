# A GitLab runner on ECS Fargate: a manager that polls GitLab for jobs and starts a worker
# for each. Neither has a public address.

locals {
  name = "mirrorsite-${var.environment}-runner"
}

resource "aws_kms_key" "this" {
  #checkov:skip=CKV2_AWS_64:With the default policy the account's IAM policies decide.
  description             = "Token of ${local.name}"
  enable_key_rotation     = true
  deletion_window_in_days = 30
}

# Created empty; an operator sets the token that GitLab displayed.
resource "aws_secretsmanager_secret" "token" {
  #checkov:skip=CKV2_AWS_57:GitLab issues the token; AWS cannot rotate it.
  name                    = "mirrorsite/${var.environment}/runner-token"
  description             = "Authentication token of the GitLab runner"
  kms_key_id              = aws_kms_key.this.arn
  recovery_window_in_days = 30
}

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_158:CloudWatch encrypts it with its own key; GitLab masks secrets in job output.
  #checkov:skip=CKV_AWS_338:365 days by default; checkov cannot evaluate the variable.
  name              = "/${local.name}"
  retention_in_days = var.log_days
}

resource "aws_ecs_cluster" "this" {
  name = local.name

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_ecs_cluster_capacity_providers" "this" {
  cluster_name       = aws_ecs_cluster.this.name
  capacity_providers = ["FARGATE"]
}

resource "aws_ecs_task_definition" "worker" {
  #checkov:skip=CKV_AWS_336:Jobs need a writable file system; the task ends with the job.
  family                   = "${local.name}-worker"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = tostring(var.worker_size.cpu)
  memory                   = tostring(var.worker_size.memory)
  execution_role_arn       = aws_iam_role.execution.arn
  # No task role: jobs authenticate to AWS with their OIDC tokens.

  container_definitions = jsonencode([{
    # Required by the driver.
    name         = "ci-coordinator"
    image        = var.worker_image
    essential    = true
    portMappings = [{ containerPort = 22, hostPort = 22, protocol = "tcp" }]
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.this.name
        awslogs-region        = var.region
        awslogs-stream-prefix = "worker"
      }
    }
  }])
}

resource "aws_ecs_task_definition" "manager" {
  #checkov:skip=CKV_AWS_336:The manager writes its configuration at start.
  family                   = "${local.name}-manager"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = "256"
  memory                   = "512"
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.manager.arn

  container_definitions = jsonencode([{
    name        = "manager"
    image       = var.manager_image
    essential   = true
    stopTimeout = 120
    environment = [for key, value in {
      CI_SERVER_URL           = var.gitlab_url
      RUNNER_CONCURRENT       = tostring(var.concurrent_jobs)
      FARGATE_CLUSTER         = aws_ecs_cluster.this.name
      FARGATE_REGION          = var.region
      FARGATE_SUBNET          = local.network.private_subnet_ids[0]
      FARGATE_SECURITY_GROUP  = aws_security_group.worker.id
      FARGATE_TASK_DEFINITION = aws_ecs_task_definition.worker.family
      FARGATE_USE_PUBLIC_IP   = "false"
    } : { name = key, value = value }]
    secrets = [{ name = "CI_SERVER_TOKEN", valueFrom = aws_secretsmanager_secret.token.arn }]
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.this.name
        awslogs-region        = var.region
        awslogs-stream-prefix = "manager"
      }
    }
  }])
}

resource "aws_ecs_service" "manager" {
  name            = "manager"
  cluster         = aws_ecs_cluster.this.id
  task_definition = aws_ecs_task_definition.manager.arn
  launch_type     = "FARGATE"
  # Two managers with one token would each run concurrent_jobs. ECS restarts a lost one, in
  # another zone if necessary.
  desired_count                      = 1
  deployment_minimum_healthy_percent = 0
  deployment_maximum_percent         = 100

  network_configuration {
    subnets          = local.network.private_subnet_ids
    security_groups  = [aws_security_group.manager.id]
    assign_public_ip = false
  }
}
