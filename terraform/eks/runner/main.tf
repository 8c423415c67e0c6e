# A GitLab runner on ECS Fargate: one manager that asks GitLab for jobs and starts a
# worker for each. Neither has a public address.

locals {
  name = "mirrorsite-${var.environment}-runner"
}

resource "aws_kms_key" "this" {
  #checkov:skip=CKV2_AWS_64:The default policy leaves the key to the account's IAM, where the rights are written.
  description             = "Token of ${local.name}"
  enable_key_rotation     = true
  deletion_window_in_days = 30
}

# Empty: the token that GitLab showed is put in by hand and never passes Terraform.
resource "aws_secretsmanager_secret" "token" {
  #checkov:skip=CKV2_AWS_57:GitLab gives the token; AWS has no way to change it there.
  name                    = "mirrorsite/${var.environment}/runner-token"
  description             = "Authentication token of the GitLab runner"
  kms_key_id              = aws_kms_key.this.arn
  recovery_window_in_days = 30
}

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_158:CloudWatch encrypts it with its own key; GitLab masks secrets in what jobs print.
  #checkov:skip=CKV_AWS_338:365 days by default; checkov cannot evaluate the variable, the tests can.
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
  #checkov:skip=CKV_AWS_336:A job writes where it likes, the image decides where; the task ends with the job.
  family                   = "${local.name}-worker"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = tostring(var.worker_size.cpu)
  memory                   = tostring(var.worker_size.memory)
  execution_role_arn       = aws_iam_role.execution.arn
  # No role for jobs: what a job may do in AWS it gets by its own OIDC token.

  container_definitions = jsonencode([{
    # The driver looks for this name.
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
  #checkov:skip=CKV_AWS_336:The manager writes its configuration, made of the variables, at each start.
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
  # Two managers with one token would each run concurrent_jobs; in another zone a lost
  # one is started again by ECS.
  desired_count                      = 1
  deployment_minimum_healthy_percent = 0
  deployment_maximum_percent         = 100

  network_configuration {
    subnets          = local.network.private_subnet_ids
    security_groups  = [aws_security_group.manager.id]
    assign_public_ip = false
  }
}
