# not in moto: description of a security group rule that names a group
resource "aws_vpc_security_group_egress_rule" "manager_ssh" {
  lifecycle {
    ignore_changes = [description]
  }
}

resource "aws_vpc_security_group_ingress_rule" "worker_ssh" {
  lifecycle {
    ignore_changes = [description]
  }
}

# not in moto: availability_zone_rebalancing of aws_ecs_service
resource "aws_ecs_service" "manager" {
  lifecycle {
    ignore_changes = [availability_zone_rebalancing]
  }
}
