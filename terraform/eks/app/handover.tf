data "aws_ssm_parameter" "network" {
  name = "/mirrorsite/${var.environment}/network"
}

data "aws_ssm_parameter" "cluster" {
  name = "/mirrorsite/${var.environment}/cluster"
}

data "aws_ssm_parameter" "data" {
  name = "/mirrorsite/${var.environment}/data"
}

locals {
  network = jsondecode(data.aws_ssm_parameter.network.insecure_value)
  cluster = jsondecode(data.aws_ssm_parameter.cluster.insecure_value)
  data    = jsondecode(data.aws_ssm_parameter.data.insecure_value)
}
