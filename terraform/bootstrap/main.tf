# The bucket for Terraform's state, created once, by hand, before anything else.

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV_AWS_18:Access logs need a second bucket; CloudTrail data events record who read the state.
  #checkov:skip=CKV_AWS_144:Whether replication to a second region is worth its cost is the operator's decision.
  #checkov:skip=CKV_AWS_145:kms_key_arn selects KMS; AES256 needs no key.
  #checkov:skip=CKV2_AWS_62:Nothing consumes events of this bucket.
  bucket = var.state_bucket_name
  tags   = { project = "mirrorsite", purpose = "terraform-state" }

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    id     = "abort-incomplete-multipart-uploads"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  # Each run leaves a noncurrent version and a delete marker of its lock file.
  rule {
    id     = "expire-noncurrent-versions"
    status = "Enabled"

    filter {}

    noncurrent_version_expiration {
      noncurrent_days = var.noncurrent_version_expiration_days
    }

    expiration {
      expired_object_delete_marker = true
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}

resource "aws_s3_bucket_policy" "this" {
  bucket = aws_s3_bucket.this.id
  policy = data.aws_iam_policy_document.tls_only.json

  # S3 answers OperationAborted to concurrent changes of a bucket's public access.
  depends_on = [aws_s3_bucket_public_access_block.this]
}
