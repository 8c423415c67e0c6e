data "aws_ssm_parameter" "network" {
  name = "/mirrorsite/${var.environment}/network"
}

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  network = jsondecode(data.aws_ssm_parameter.network.insecure_value)

  ecs_arn = "arn:${data.aws_partition.current.partition}:ecs:${var.region}:${data.aws_caller_identity.current.account_id}"
}
