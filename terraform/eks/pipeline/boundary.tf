# The most that the pods' roles can have, whatever policies a pipeline writes for them.
# Made here and not in the root app: who writes the policies may not write this one.

locals {
  bucket_arn   = "arn:${local.partition}:s3:::${var.bucket_name}"
  boundary_arn = "${local.iam_arn}:policy/${local.name}-pods-boundary"
}

data "aws_iam_policy_document" "boundary" {
  statement {
    sid       = "FindTheBucket"
    actions   = ["s3:GetBucketLocation", "s3:GetBucketObjectLockConfiguration", "s3:GetBucketVersioning", "s3:ListBucket", "s3:ListBucketMultipartUploads", "s3:ListBucketVersions"]
    resources = [local.bucket_arn]
  }

  statement {
    sid       = "WriteReadAndPurgeUploads"
    actions   = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:GetObject", "s3:GetObjectVersion", "s3:ListMultipartUploadParts", "s3:PutObject"]
    resources = ["${local.bucket_arn}/uploads/*"]
  }

  statement {
    sid       = "WriteAndReadAuditCopies"
    actions   = ["s3:GetObject", "s3:GetObjectRetention", "s3:GetObjectVersion", "s3:PutObject", "s3:PutObjectRetention"]
    resources = ["${local.bucket_arn}/audit/*"]
  }

  statement {
    sid       = "WriteAndReadBackups"
    actions   = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"]
    resources = ["${local.bucket_arn}/backups/*"]
  }

  # The database's secret is named by RDS.
  statement {
    sid     = "ReadSecrets"
    actions = ["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"]
    resources = [
      "arn:${local.partition}:secretsmanager:${local.account_arn}:secret:mirrorsite/${var.environment}/*",
      "arn:${local.partition}:secretsmanager:${local.account_arn}:secret:rds!db-*",
    ]
  }

  # Which keys they are is known only later; used they can be by these services alone.
  statement {
    sid       = "DecryptThem"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = ["arn:${local.partition}:kms:${local.account_arn}:key/*"]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["s3.${var.region}.amazonaws.com", "secretsmanager.${var.region}.amazonaws.com"]
    }
  }
}

resource "aws_iam_policy" "boundary" {
  name        = "${local.name}-pods-boundary"
  description = "The most that the roles of the pods can have"
  policy      = data.aws_iam_policy_document.boundary.json
}
