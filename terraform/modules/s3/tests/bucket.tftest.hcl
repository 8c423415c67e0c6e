mock_provider "aws" {
  # A mocked document is random text, which the policy resource would refuse.
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
}

variables {
  bucket_name = "mirrorsite-test-uploads"
}

run "defaults_are_safe" {
  command = plan

  assert {
    condition = (
      aws_s3_bucket_public_access_block.this.block_public_acls
      && aws_s3_bucket_public_access_block.this.block_public_policy
      && aws_s3_bucket_public_access_block.this.ignore_public_acls
      && aws_s3_bucket_public_access_block.this.restrict_public_buckets
    )
    error_message = "All four public access blocks must be on."
  }

  assert {
    condition     = one(aws_s3_bucket_ownership_controls.this.rule).object_ownership == "BucketOwnerEnforced"
    error_message = "ACLs must be off."
  }

  assert {
    condition     = one(aws_s3_bucket_versioning.this.versioning_configuration).status == "Enabled"
    error_message = "Versioning must be on."
  }

  assert {
    condition     = one(one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default).sse_algorithm == "AES256"
    error_message = "Objects must be encrypted."
  }

  assert {
    condition     = !aws_s3_bucket.this.force_destroy && !aws_s3_bucket.this.object_lock_enabled
    error_message = "By default a bucket with objects is not destroyed, and Object Lock is off."
  }

  assert {
    condition     = length(aws_s3_bucket_object_lock_configuration.this) == 0
    error_message = "Without Object Lock there is no configuration of it."
  }
}

run "lifecycle_spares_the_audit_copies" {
  command = plan

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
    error_message = "Unfinished multipart uploads must go after 7 days."
  }
}

run "own_key" {
  command = plan

  variables {
    kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"
  }

  assert {
    condition     = one(one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default).sse_algorithm == "aws:kms" && one(aws_s3_bucket_server_side_encryption_configuration.this.rule).bucket_key_enabled
    error_message = "A given key must be used, with a bucket key."
  }
}

run "object_lock_with_default_retention" {
  command = plan

  variables {
    object_lock = { enabled = true, default_retention_days = 30 }
  }

  assert {
    condition     = aws_s3_bucket.this.object_lock_enabled
    error_message = "Object Lock must be enabled when the bucket is made."
  }

  assert {
    condition     = one(one(aws_s3_bucket_object_lock_configuration.this[0].rule).default_retention).mode == "GOVERNANCE" && one(one(aws_s3_bucket_object_lock_configuration.this[0].rule).default_retention).days == 30
    error_message = "The default retention must be the one given."
  }
}

run "object_lock_without_default_retention" {
  command = plan

  variables {
    object_lock = { enabled = true }
  }

  assert {
    condition     = aws_s3_bucket.this.object_lock_enabled && length(aws_s3_bucket_object_lock_configuration.this) == 0
    error_message = "Object Lock alone retains nothing by default, so that uploads can be purged."
  }
}

run "values_out_of_range" {
  command = plan

  variables {
    bucket_name                        = "Upper.Case"
    break_glass_principal_arns         = ["*"]
    object_lock                        = { default_retention_days = 30, default_retention_mode = "FOREVER" }
    kms_key_arn                        = "alias/uploads"
    noncurrent_version_expiration_days = 0
    backup_expiration_days             = 0
    abort_incomplete_multipart_days    = 0
  }

  expect_failures = [
    var.bucket_name, var.break_glass_principal_arns, var.object_lock, var.kms_key_arn,
    var.noncurrent_version_expiration_days, var.backup_expiration_days, var.abort_incomplete_multipart_days,
  ]
}
