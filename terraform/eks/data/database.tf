# PostgreSQL with a standby in another zone. RDS keeps the password in Secrets Manager.

locals {
  postgres_family     = "postgres${split(".", var.engine_version)[0]}"
  database_secret_arn = try(one(aws_db_instance.this.master_user_secret).secret_arn, null)
}

resource "aws_db_subnet_group" "this" {
  name       = local.name
  subnet_ids = local.network.private_subnet_ids
}

resource "aws_security_group" "database" {
  name        = "${local.name}-database"
  description = "The database: connections from the nodes and pods of the cluster only"
  vpc_id      = local.network.vpc_id
  tags        = { Name = "${local.name}-database" }
}

# No egress rule: a database opens no connections.
resource "aws_vpc_security_group_ingress_rule" "database" {
  security_group_id            = aws_security_group.database.id
  description                  = "PostgreSQL from the cluster"
  referenced_security_group_id = local.cluster.security_group_id
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
}

resource "aws_db_parameter_group" "this" {
  name_prefix = "${local.name}-"
  family      = local.postgres_family

  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }

  parameter {
    name  = "log_min_duration_statement"
    value = "1000"
  }

  # Not all statements, as checkov asks: the log would repeat the audit trail.
  parameter {
    name  = "log_statement"
    value = "ddl"
  }

  lifecycle {
    create_before_destroy = true
  }
}

data "aws_partition" "current" {}

resource "aws_iam_role" "monitoring" {
  name = "${local.name}-rds-monitoring"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "monitoring.rds.amazonaws.com" } }]
  })
}

resource "aws_iam_role_policy_attachment" "monitoring" {
  role       = aws_iam_role.monitoring.name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
}

resource "aws_db_instance" "this" {
  #checkov:skip=CKV_AWS_161:The service uses a password, which RDS rotates; IAM tokens last 15 minutes and would need code in the service.
  #checkov:skip=CKV2_AWS_30:DDL and slow statements are logged; all statements would repeat the audit trail.
  #checkov:skip=CKV2_AWS_69:rds.force_ssl is set in the parameter group, where checkov does not look.
  #checkov:skip=CKV_AWS_293:On by default, and mandatory in production; checkov cannot evaluate the variable.
  identifier     = local.name
  engine         = "postgres"
  engine_version = var.engine_version
  instance_class = var.instance_class
  db_name        = "mirrorsite"
  port           = 5432

  username                      = "mirrorsite"
  manage_master_user_password   = true
  master_user_secret_kms_key_id = aws_kms_key.this.arn

  multi_az               = true
  db_subnet_group_name   = aws_db_subnet_group.this.name
  vpc_security_group_ids = [aws_security_group.database.id]
  parameter_group_name   = aws_db_parameter_group.this.name
  publicly_accessible    = false
  ca_cert_identifier     = "rds-ca-rsa2048-g1"

  storage_type          = "gp3"
  storage_encrypted     = true
  kms_key_id            = aws_kms_key.this.arn
  allocated_storage     = var.storage.allocated
  max_allocated_storage = var.storage.max

  backup_retention_period   = var.backup_days
  backup_window             = "01:00-02:00"
  maintenance_window        = "sun:02:30-sun:03:30"
  copy_tags_to_snapshot     = true
  delete_automated_backups  = false
  deletion_protection       = var.deletion_protection
  skip_final_snapshot       = !var.deletion_protection
  final_snapshot_identifier = var.deletion_protection ? "${local.name}-final" : null

  auto_minor_version_upgrade  = true
  allow_major_version_upgrade = false
  apply_immediately           = false

  enabled_cloudwatch_logs_exports = ["postgresql", "upgrade"]
  monitoring_interval             = 60
  monitoring_role_arn             = aws_iam_role.monitoring.arn
  performance_insights_enabled    = true
  performance_insights_kms_key_id = aws_kms_key.this.arn
}

# By default RDS rotates the password weekly, at any hour. Until the pods have been replaced
# with the new one (terraform/eks/README.md), new connections fail; hence a quiet hour.
resource "aws_secretsmanager_secret_rotation" "database" {
  secret_id          = one(aws_db_instance.this.master_user_secret).secret_arn
  rotate_immediately = false

  rotation_rules {
    schedule_expression = var.rotation_schedule
    duration            = "2h"
  }
}

resource "aws_db_event_subscription" "this" {
  count = var.events_topic_arn == null ? 0 : 1

  name             = "${local.name}-database"
  sns_topic        = var.events_topic_arn
  source_type      = "db-instance"
  source_ids       = [aws_db_instance.this.identifier]
  event_categories = ["failover", "failure", "low storage", "notification"]
}
