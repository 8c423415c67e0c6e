locals {
  # The prefixes that the service writes under.
  uploads_arn = "${local.bucket_arn}/uploads/*"
  audit_arn   = "${local.bucket_arn}/audit/*"
  backups_arn = "${local.bucket_arn}/backups/*"
}

data "aws_iam_policy_document" "bucket" {
  source_policy_documents = [data.aws_iam_policy_document.tls_only.json]

  # No object is overwritten: a put needs If-None-Match, whose only value in S3 is "*".
  # Creating a multipart upload and sending parts are s3:PutObject too but cannot carry the
  # header; for them the second condition is false. It is true for completing one, and for
  # a put with If-Match.
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

    # IAM refuses an empty list of values.
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

  # S3 answers OperationAborted to concurrent changes of a bucket's public access.
  depends_on = [aws_s3_bucket_public_access_block.this]
}

# For the service's role or user.
data "aws_iam_policy_document" "application" {
  #checkov:skip=CKV_AWS_356:No statement has the resource "*"; checkov cannot resolve the locals.
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

  # The bucket's lifecycle deletes them.
  statement {
    sid       = "WriteAndReadBackups"
    actions   = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"]
    resources = [local.backups_arn]
  }

  dynamic "statement" {
    for_each = var.kms_key_arn[*]

    content {
      sid       = "UseTheBucketKey"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = [statement.value]
    }
  }
}
