locals {
  handover = {
    vpc_id             = aws_vpc.this.id
    cidr               = aws_vpc.this.cidr_block
    zones              = var.zones
    private_subnet_ids = [for zone in var.zones : aws_subnet.private[zone].id]
    public_subnet_ids  = [for zone in var.zones : aws_subnet.public[zone].id]
  }
}

resource "aws_ssm_parameter" "handover" {
  #checkov:skip=CKV2_AWS_34:No secrets.
  #checkov:skip=CKV_AWS_337:No secrets.
  name  = "/mirrorsite/${var.environment}/network"
  type  = "String"
  value = jsonencode(local.handover)
}
