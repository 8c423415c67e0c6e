# Roots hand over by parameters, not by reading each other's state: whoever may read a
# state reads all of it, a parameter holds only what is meant for the next root.
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
  #checkov:skip=CKV2_AWS_34:Names for the next roots; no secret is among them.
  #checkov:skip=CKV_AWS_337:As above.
  name  = "/mirrorsite/${var.environment}/cluster"
  type  = "String"
  value = jsonencode(local.handover)
}
