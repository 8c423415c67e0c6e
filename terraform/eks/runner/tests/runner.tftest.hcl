provider "aws" {
  region                      = "eu-west-1"
  access_key                  = "unused"
  secret_key                  = "unused"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}

override_data {
  target = data.aws_ssm_parameter.network
  values = {
    insecure_value = "{\"vpc_id\":\"vpc-1\",\"cidr\":\"10.40.0.0/16\",\"zones\":[\"eu-west-1a\",\"eu-west-1b\",\"eu-west-1c\"],\"private_subnet_ids\":[\"subnet-a\",\"subnet-b\",\"subnet-c\"],\"public_subnet_ids\":[\"subnet-d\",\"subnet-e\",\"subnet-f\"]}"
  }
}

override_data {
  target = data.aws_caller_identity.current
  values = { account_id = "123456789012" }
}

variables {
  environment   = "production"
  manager_image = "registry.example.org/runner-manager:1"
  worker_image  = "registry.example.org/runner-worker:1"
}

run "defaults" {
  command = plan

  assert {
    condition     = !one(aws_ecs_service.manager.network_configuration).assign_public_ip && one(aws_ecs_service.manager.network_configuration).subnets == toset(["subnet-a", "subnet-b", "subnet-c"])
    error_message = "The manager must be in the private subnets, without a public address."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.worker_ssh.cidr_ipv4 == null && aws_vpc_security_group_ingress_rule.worker_ssh.from_port == 22
    error_message = "Only the manager may connect to a worker."
  }

  assert {
    condition = { for statement in jsondecode(data.aws_iam_policy_document.manager.json).Statement : statement.Sid => flatten([statement.Resource]) } == {
      StartWorkers         = ["arn:aws:ecs:eu-west-1:123456789012:task-definition/mirrorsite-production-runner-worker:*"]
      WatchAndStopWorkers  = ["arn:aws:ecs:eu-west-1:123456789012:task/mirrorsite-production-runner/*"]
      GiveWorkersTheirRole = ["arn:aws:iam::123456789012:role/mirrorsite-production-runner-execution"]
    }
    error_message = "The manager may only run workers in its own cluster."
  }

  assert {
    condition     = aws_ecs_task_definition.worker.task_role_arn == null
    error_message = "Jobs must not have a role of the runner."
  }

  assert {
    condition     = length(aws_iam_role_policy.pull) == 0
    error_message = "Images outside ECR need no right."
  }
}

run "images_in_ecr" {
  command = plan

  variables {
    manager_image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/runner/manager:1"
    worker_image  = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/runner/worker@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
  }

  assert {
    condition = { for statement in jsondecode(data.aws_iam_policy_document.pull[0].json).Statement : statement.Sid => flatten([statement.Resource]) } == {
      LogInToTheRegistry = ["*"]
      PullTheImages = [
        "arn:aws:ecr:eu-west-1:123456789012:repository/runner/worker",
        "arn:aws:ecr:eu-west-1:123456789012:repository/runner/manager",
      ]
    }
    error_message = "The execution role may pull from these repositories only."
  }
}

run "values_out_of_range" {
  command = plan

  variables {
    manager_image   = "registry.example.org/runner-manager:latest"
    worker_image    = "registry.example.org/runner-worker"
    gitlab_url      = "http://gitlab.example.org"
    worker_size     = { cpu = 1000, memory = 2048 }
    concurrent_jobs = 0
    log_days        = 1
  }

  expect_failures = [var.manager_image, var.worker_image, var.gitlab_url, var.worker_size, var.concurrent_jobs, var.log_days]
}
