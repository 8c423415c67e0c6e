# The bucket for the uploads and the sealed copies of the audit trail. Policies
# are in policy.tf, life cycle in lifecycle.tf.

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV_AWS_18:Access logs need a second bucket and its retention; the audit trail of the service is the record of writes, CloudTrail data events that of an account.
  #checkov:skip=CKV_AWS_144:Replication to a second region is a decision of cost for the operator; the seals can be verified from any copy.
  #checkov:skip=CKV_AWS_145:KMS is offered by kms_key_arn; AES256 is the default so that no key has to be paid for and shared with the service's role.
  #checkov:skip=CKV2_AWS_62:Nobody listens for events of this bucket; reconciliation looks at it instead.
  bucket              = var.bucket_name
  force_destroy       = var.force_destroy
  object_lock_enabled = var.object_lock.enabled
  tags                = var.tags
}

resource "aws_s3_bucket_public_access_block" "this" {
  bucket = aws_s3_bucket.this.id

  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_versioning" "this" {
  bucket = aws_s3_bucket.this.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    bucket_key_enabled = var.kms_key_arn != null

    apply_server_side_encryption_by_default {
      sse_algorithm     = var.kms_key_arn == null ? "AES256" : "aws:kms"
      kms_master_key_id = var.kms_key_arn
    }
  }
}

resource "aws_s3_bucket_object_lock_configuration" "this" {
  count = var.object_lock.enabled && var.object_lock.default_retention_days != null ? 1 : 0

  bucket = aws_s3_bucket.this.id

  rule {
    default_retention {
      mode = var.object_lock.default_retention_mode
      days = var.object_lock.default_retention_days
    }
  }

  # S3 refuses a lock configuration while versioning is still being switched on.
  depends_on = [aws_s3_bucket_versioning.this]
}
