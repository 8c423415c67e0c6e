resource "aws_security_group" "manager" {
  #checkov:skip=CKV2_AWS_5:Attached in network_configuration, where checkov does not look.
  name        = "${local.name}-manager"
  description = "The runner manager: no ingress"
  vpc_id      = local.network.vpc_id
  tags        = { Name = "${local.name}-manager" }
}

resource "aws_security_group" "worker" {
  #checkov:skip=CKV2_AWS_5:The manager attaches it to each worker.
  name        = "${local.name}-worker"
  description = "Workers: SSH from the manager only"
  vpc_id      = local.network.vpc_id
  tags        = { Name = "${local.name}-worker" }
}

resource "aws_vpc_security_group_ingress_rule" "worker_ssh" {
  #checkov:skip=CKV_AWS_24:From the manager only.
  security_group_id            = aws_security_group.worker.id
  description                  = "Jobs are run over SSH"
  referenced_security_group_id = aws_security_group.manager.id
  ip_protocol                  = "tcp"
  from_port                    = 22
  to_port                      = 22
}

resource "aws_vpc_security_group_egress_rule" "manager_ssh" {
  security_group_id            = aws_security_group.manager.id
  description                  = "To the workers"
  referenced_security_group_id = aws_security_group.worker.id
  ip_protocol                  = "tcp"
  from_port                    = 22
  to_port                      = 22
}

# GitLab, the registry and AWS have no fixed addresses.
resource "aws_vpc_security_group_egress_rule" "https" {
  for_each = { manager = aws_security_group.manager.id, worker = aws_security_group.worker.id }

  security_group_id = each.value
  description       = "HTTPS"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}
