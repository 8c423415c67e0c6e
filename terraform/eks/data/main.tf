# What outlives the releases: bucket, database, secrets and, optionally, a registry.

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

# One key for the database, its password and the other secrets, which are used together.
resource "aws_kms_key" "this" {
  #checkov:skip=CKV2_AWS_64:With the default policy the account's IAM policies decide.
  description             = "Database and secrets of ${local.name}"
  enable_key_rotation     = true
  deletion_window_in_days = 30
}

resource "aws_kms_alias" "this" {
  name          = "alias/${local.name}-data"
  target_key_id = aws_kms_key.this.key_id
}

# Created empty; an operator sets the values (docs/deploy-eks.md), not Terraform.
resource "aws_secretsmanager_secret" "this" {
  #checkov:skip=CKV2_AWS_57:Rotated by an operator; docs/keys.md has the steps.
  for_each = {
    application = "SECRET_KEY of the service"
    audit       = "AUDIT_SIGNING_KEY, for the sealer alone"
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
