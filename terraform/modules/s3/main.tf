# The bucket for uploads, sealed copies of the audit trail and backups.

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV_AWS_18:Access logs need a second bucket; the service's audit trail records its writes, CloudTrail data events record the account's.
  #checkov:skip=CKV_AWS_144:Whether replication to a second region is worth its cost is the operator's decision.
  #checkov:skip=CKV_AWS_145:kms_key_arn selects KMS; AES256 needs no key.
  #checkov:skip=CKV2_AWS_62:Nothing consumes events of this bucket; reconciliation compares it with the record.
  bucket              = var.bucket_name
  force_destroy       = var.force_destroy
  object_lock_enabled = var.object_lock.enabled
  tags                = var.tags
}

resource "aws_s3_bucket_object_lock_configuration" "this" {
  count = var.object_lock.enabled && var.object_lock.default_retention_days != null ? 1 : 0

  bucket = aws_s3_bucket.this.id

  rule {
    default_retention {
      mode = "GOVERNANCE"
      days = var.object_lock.default_retention_days
    }
  }

  # S3 refuses a lock configuration before versioning is enabled.
  depends_on = [aws_s3_bucket_versioning.this]
}
