# not in moto: the cluster's own security group; the database's stands in for it
locals {
  cluster = { name = "mirrorsite-${var.environment}", security_group_id = aws_security_group.database.id }
}

# not in moto: description of a security group rule that names a group
resource "aws_vpc_security_group_ingress_rule" "database" {
  lifecycle {
    ignore_changes = [description]
  }
}

# not in moto: performance insights of aws_db_instance
# not in moto: ca_cert_identifier, which costs a second modification and 80 s of polling
resource "aws_db_instance" "this" {
  ca_cert_identifier              = null
  performance_insights_enabled    = false
  performance_insights_kms_key_id = null
}

# not in moto: the values of aws_db_parameter_group
resource "aws_db_parameter_group" "this" {
  lifecycle {
    ignore_changes = [parameter]
  }
}

# not in moto: the schedule of aws_secretsmanager_secret_rotation, other than in days
resource "aws_secretsmanager_secret_rotation" "database" {
  lifecycle {
    ignore_changes = [rotation_rules]
  }
}
