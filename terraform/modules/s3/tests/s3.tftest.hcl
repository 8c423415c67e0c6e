# The real provider: a plan that only creates makes no requests.
provider "aws" {
  region                      = "eu-west-1"
  access_key                  = "unused"
  secret_key                  = "unused"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}

variables {
  bucket_name = "mirrorsite-test-uploads"
}

run "defaults" {
  command = plan

  assert {
    condition = (
      aws_s3_bucket_public_access_block.this.block_public_acls
      && aws_s3_bucket_public_access_block.this.block_public_policy
      && aws_s3_bucket_public_access_block.this.ignore_public_acls
      && aws_s3_bucket_public_access_block.this.restrict_public_buckets
    )
    error_message = "All four public access blocks must be enabled."
  }

  assert {
    condition     = one(aws_s3_bucket_ownership_controls.this.rule).object_ownership == "BucketOwnerEnforced"
    error_message = "ACLs must be disabled."
  }

  assert {
    condition     = one(aws_s3_bucket_versioning.this.versioning_configuration).status == "Enabled"
    error_message = "Versioning must be enabled."
  }

  assert {
    condition     = one(one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default).sse_algorithm == "AES256"
    error_message = "Objects must be encrypted."
  }

  assert {
    condition     = !aws_s3_bucket.this.force_destroy && !aws_s3_bucket.this.object_lock_enabled
    error_message = "By default a bucket with objects must not be destroyed, and Object Lock be disabled."
  }

  assert {
    condition     = length(aws_s3_bucket_object_lock_configuration.this) == 0
    error_message = "Without Object Lock there must be no configuration of it."
  }

  assert {
    condition = {
      for rule in aws_s3_bucket_lifecycle_configuration.this.rule :
      rule.id => one(rule.filter).prefix if length(rule.noncurrent_version_expiration) > 0
    } == { "expire-noncurrent-uploads" = "uploads/", "expire-backups" = "backups/" }
    error_message = "Versions of uploads and backups may expire, those of sealed copies never."
  }

  assert {
    condition = [
      for rule in aws_s3_bucket_lifecycle_configuration.this.rule :
      one(rule.abort_incomplete_multipart_upload).days_after_initiation if length(rule.abort_incomplete_multipart_upload) > 0
    ] == [7]
    error_message = "Unfinished multipart uploads must be deleted after 7 days."
  }

  assert {
    condition = one([
      for statement in jsondecode(data.aws_iam_policy_document.bucket.json).Statement : statement
      if statement.Sid == "DenyInsecureTransport"
      ]) == {
      Sid       = "DenyInsecureTransport"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      # The provider sorts lists in the documents it writes.
      Resource  = ["arn:aws:s3:::mirrorsite-test-uploads/*", "arn:aws:s3:::mirrorsite-test-uploads"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }
    error_message = "Every action without TLS must be denied to every principal, on the bucket and its objects."
  }

  assert {
    condition = one([
      for statement in jsondecode(data.aws_iam_policy_document.bucket.json).Statement : statement.Condition
      if statement.Sid == "DenyOutdatedTls"
    ]) == { NumericLessThan = { "s3:TlsVersion" = "1.2" } }
    error_message = "TLS older than 1.2 must be denied."
  }

  assert {
    condition = one([
      for statement in jsondecode(data.aws_iam_policy_document.bucket.json).Statement : statement
      if statement.Sid == "DenyUnconditionalPut"
      ]) == {
      Sid       = "DenyUnconditionalPut"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:PutObject"
      Resource  = ["arn:aws:s3:::mirrorsite-test-uploads/uploads/*", "arn:aws:s3:::mirrorsite-test-uploads/backups/*", "arn:aws:s3:::mirrorsite-test-uploads/audit/*"]
      Condition = {
        Null = { "s3:if-none-match" = "true" }
        Bool = { "s3:ObjectCreationOperation" = "true" }
      }
    }
    error_message = "Puts without If-None-Match must be denied under every prefix, except parts of a multipart upload."
  }

  assert {
    condition = one([
      for statement in jsondecode(data.aws_iam_policy_document.bucket.json).Statement : statement
      if statement.Sid == "DenyAuditDelete"
      ]) == {
      Sid       = "DenyAuditDelete"
      Effect    = "Deny"
      Principal = "*"
      Action    = ["s3:DeleteObjectVersion", "s3:DeleteObject", "s3:BypassGovernanceRetention"]
      Resource  = "arn:aws:s3:::mirrorsite-test-uploads/audit/*"
    }
    error_message = "Without break-glass principals, deleting audit copies must be denied unconditionally."
  }

  assert {
    condition = alltrue([
      for statement in jsondecode(data.aws_iam_policy_document.application.json).Statement :
      statement.Resource == "arn:aws:s3:::mirrorsite-test-uploads/uploads/*" || alltrue([
        for action in flatten([statement.Action]) : action != "s3:*" && !startswith(action, "s3:Delete")
      ])
    ])
    error_message = "The service may delete uploads and nothing else."
  }
}

run "options" {
  command = plan

  variables {
    break_glass_principal_arns = ["arn:aws:iam::123456789012:role/break-glass"]
    object_lock                = { enabled = true, default_retention_days = 30 }
    kms_key_arn                = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"
  }

  assert {
    condition     = one(one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default).sse_algorithm == "aws:kms" && one(aws_s3_bucket_server_side_encryption_configuration.this.rule).bucket_key_enabled
    error_message = "A given key must be used, with a bucket key."
  }

  assert {
    condition     = aws_s3_bucket.this.object_lock_enabled
    error_message = "Object Lock must be enabled at creation."
  }

  assert {
    condition     = one(one(aws_s3_bucket_object_lock_configuration.this[0].rule).default_retention).mode == "GOVERNANCE" && one(one(aws_s3_bucket_object_lock_configuration.this[0].rule).default_retention).days == 30
    error_message = "The default retention must be the one given."
  }

  assert {
    condition = one([
      for statement in jsondecode(data.aws_iam_policy_document.bucket.json).Statement : statement.Condition
      if statement.Sid == "DenyAuditDelete"
    ]) == { ArnNotLike = { "aws:PrincipalArn" = "arn:aws:iam::123456789012:role/break-glass" } }
    error_message = "Only the named principal may be excepted."
  }

  assert {
    condition = one([
      for statement in jsondecode(data.aws_iam_policy_document.application.json).Statement : statement.Resource
      if statement.Sid == "UseTheBucketKey"
    ]) == "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"
    error_message = "The service must be allowed to use this key and no other."
  }
}

run "object_lock_without_default_retention" {
  command = plan

  variables {
    object_lock = { enabled = true }
  }

  assert {
    condition     = aws_s3_bucket.this.object_lock_enabled && length(aws_s3_bucket_object_lock_configuration.this) == 0
    error_message = "Object Lock must retain nothing by default, so that uploads can be purged."
  }
}

run "values_out_of_range" {
  command = plan

  variables {
    bucket_name                = "Upper.Case"
    break_glass_principal_arns = ["*"]
    object_lock                = { default_retention_days = 30 }
    kms_key_arn                = "arn:aws:kms:eu-west-1:123456789012:alias/uploads"
  }

  expect_failures = [var.bucket_name, var.break_glass_principal_arns, var.object_lock, var.kms_key_arn]
}
