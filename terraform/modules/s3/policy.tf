data "aws_partition" "current" {}

locals {
  # Spelled from the name and not read from the bucket, so that the policy is
  # known, and can be reviewed, in the plan that creates the bucket.
  bucket_arn = "arn:${data.aws_partition.current.partition}:s3:::${var.bucket_name}"

  # The prefixes that the service writes under.
  uploads_arn = "${local.bucket_arn}/uploads/*"
  audit_arn   = "${local.bucket_arn}/audit/*"
  backups_arn = "${local.bucket_arn}/backups/*"
}

data "aws_iam_policy_document" "bucket" {
  statement {
    sid       = "DenyInsecureTransport"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [local.bucket_arn, "${local.bucket_arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }

  statement {
    sid       = "DenyOutdatedTls"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [local.bucket_arn, "${local.bucket_arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "NumericLessThan"
      variable = "s3:TlsVersion"
      values   = ["1.2"]
    }
  }

  # No object is ever written over: a put must say If-None-Match, and the only
  # value S3 takes there is "*". Starting a multipart upload and sending its parts
  # are s3:PutObject too but cannot carry the header; for them the second
  # condition is false. Completing one is held to it, and so is a put that says
  # If-Match to replace an object knowingly.
  # https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes-enforce.html
  statement {
    sid       = "DenyUnconditionalPut"
    effect    = "Deny"
    actions   = ["s3:PutObject"]
    resources = [local.uploads_arn, local.audit_arn, local.backups_arn]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Null"
      variable = "s3:if-none-match"
      values   = ["true"]
    }

    condition {
      test     = "Bool"
      variable = "s3:ObjectCreationOperation"
      values   = ["true"]
    }
  }

  statement {
    sid    = "DenyAuditDelete"
    effect = "Deny"
    actions = [
      "s3:BypassGovernanceRetention",
      "s3:DeleteObject",
      "s3:DeleteObjectVersion",
    ]
    resources = [local.audit_arn]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    # Without anybody named there is no exception at all, not an empty one:
    # IAM takes an empty list of values for a mistake.
    dynamic "condition" {
      for_each = length(var.break_glass_principal_arns) > 0 ? [1] : []

      content {
        test     = "ArnNotLike"
        variable = "aws:PrincipalArn"
        values   = var.break_glass_principal_arns
      }
    }
  }
}

resource "aws_s3_bucket_policy" "this" {
  bucket = aws_s3_bucket.this.id
  policy = data.aws_iam_policy_document.bucket.json

  # Both are changes of the bucket's public access; S3 answers OperationAborted
  # when they arrive at once.
  depends_on = [aws_s3_bucket_public_access_block.this]
}

# What the service itself may do. Attached to its role or user by the caller.
data "aws_iam_policy_document" "application" {
  #checkov:skip=CKV_AWS_356:No statement is granted on "*"; checkov cannot resolve the locals the resources are made of.
  statement {
    sid       = "FindTheBucket"
    actions   = ["s3:GetBucketLocation", "s3:GetBucketObjectLockConfiguration", "s3:GetBucketVersioning", "s3:ListBucket", "s3:ListBucketMultipartUploads", "s3:ListBucketVersions"]
    resources = [local.bucket_arn]
  }

  statement {
    sid       = "WriteReadAndPurgeUploads"
    actions   = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:GetObject", "s3:GetObjectVersion", "s3:ListMultipartUploadParts", "s3:PutObject"]
    resources = [local.uploads_arn]
  }

  statement {
    sid       = "WriteAndReadAuditCopies"
    actions   = ["s3:GetObject", "s3:GetObjectRetention", "s3:GetObjectVersion", "s3:PutObject", "s3:PutObjectRetention"]
    resources = [local.audit_arn]
  }

  # Written once and read; the bucket's lifecycle deletes them.
  statement {
    sid       = "WriteAndReadBackups"
    actions   = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"]
    resources = [local.backups_arn]
  }

  dynamic "statement" {
    for_each = var.kms_key_arn == null ? [] : [var.kms_key_arn]

    content {
      sid       = "UseTheBucketKey"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = [statement.value]
    }
  }
}
