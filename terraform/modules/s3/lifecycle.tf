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

  # Uploads only: versions under audit/ are evidence and never expire.
  rule {
    id     = "expire-noncurrent-uploads"
    status = "Enabled"

    filter {
      prefix = "uploads/"
    }

    noncurrent_version_expiration {
      noncurrent_days = 90
    }

    expiration {
      expired_object_delete_marker = true
    }
  }

  rule {
    id     = "expire-backups"
    status = "Enabled"

    filter {
      prefix = "backups/"
    }

    expiration {
      days = 35
    }

    noncurrent_version_expiration {
      noncurrent_days = 1
    }
  }

  # S3 refuses rules on noncurrent versions before versioning is enabled.
  depends_on = [aws_s3_bucket_versioning.this]
}
