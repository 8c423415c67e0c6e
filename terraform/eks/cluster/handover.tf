# Roots pass values by parameters: reading another root's state would need the right to
# read all of it.
data "aws_ssm_parameter" "network" {
  name = "/mirrorsite/${var.environment}/network"
}

locals {
  network = jsondecode(data.aws_ssm_parameter.network.insecure_value)

  handover = {
    name              = aws_eks_cluster.this.name
    security_group_id = one(aws_eks_cluster.this.vpc_config).cluster_security_group_id
  }
}

resource "aws_ssm_parameter" "handover" {
  #checkov:skip=CKV2_AWS_34:No secrets.
  #checkov:skip=CKV_AWS_337:No secrets.
  name  = "/mirrorsite/${var.environment}/cluster"
  type  = "String"
  value = jsonencode(local.handover)
}
