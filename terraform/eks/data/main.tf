# What outlives every release: bucket, database, secrets, and, if wanted, the registry.

locals {
  name = "mirrorsite-${var.environment}"
}

module "s3" {
  source = "../../modules/s3"

  bucket_name                = var.bucket_name
  break_glass_principal_arns = var.bucket.break_glass_principal_arns
  kms_key_arn                = var.bucket.kms_key_arn
  force_destroy              = var.bucket.force_destroy
  object_lock = {
    enabled                = var.bucket.object_lock_enabled
    default_retention_days = var.bucket.default_retention_days
  }
}

# One key for database, its password and the other secrets: they are read together or
# not at all.
resource "aws_kms_key" "this" {
  #checkov:skip=CKV2_AWS_64:The default policy leaves the key to the account's IAM, where the rights are written.
  description             = "Database and secrets of ${local.name}"
  enable_key_rotation     = true
  deletion_window_in_days = 30
}

resource "aws_kms_alias" "this" {
  name          = "alias/${local.name}-data"
  target_key_id = aws_kms_key.this.key_id
}

# Empty: their values are put in by hand (README.md) and never pass through Terraform.
resource "aws_secretsmanager_secret" "this" {
  #checkov:skip=CKV2_AWS_57:SECRET_KEY and the signing key are changed by sre/rotate-secrets, which knows what has to happen around it.
  for_each = {
    application = "SECRET_KEY of the service"
    audit       = "AUDIT_SIGNING_KEY, for the sealing job alone"
  }

  name                    = "mirrorsite/${var.environment}/${each.key}"
  description             = each.value
  kms_key_id              = aws_kms_key.this.arn
  recovery_window_in_days = 30
}

resource "aws_ecr_repository" "this" {
  count = var.registry ? 1 : 0

  name                 = local.name
  image_tag_mutability = "IMMUTABLE"

  image_scanning_configuration {
    scan_on_push = true
  }

  encryption_configuration {
    encryption_type = "KMS"
    kms_key         = aws_kms_key.this.arn
  }
}
