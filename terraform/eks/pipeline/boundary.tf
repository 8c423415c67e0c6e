# The permissions boundary of the pods' roles. Not in the root app, whose pipeline writes
# the policies that this one limits.

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

  # RDS chooses the name of the database's secret.
  statement {
    sid     = "ReadSecrets"
    actions = ["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"]
    resources = [
      "arn:${local.partition}:secretsmanager:${local.account_arn}:secret:mirrorsite/${var.environment}/*",
      "arn:${local.partition}:secretsmanager:${local.account_arn}:secret:rds!db-*",
    ]
  }

  # The keys do not exist yet; only these services may use them.
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
  description = "Permissions boundary of the roles of the pods"
  policy      = data.aws_iam_policy_document.boundary.json
}
