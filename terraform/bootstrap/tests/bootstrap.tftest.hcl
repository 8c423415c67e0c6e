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
  state_bucket_name = "mirrorsite-test-state"
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
    error_message = "The state must be encrypted."
  }

  assert {
    condition = [
      for rule in aws_s3_bucket_lifecycle_configuration.this.rule :
      one(rule.noncurrent_version_expiration).noncurrent_days if length(rule.noncurrent_version_expiration) > 0
    ] == [180]
    error_message = "Earlier states and lock files must expire."
  }

  assert {
    condition     = output.backend_config == <<-EOT
      bucket       = "mirrorsite-test-state"
      region       = "eu-west-1"
      encrypt      = true
      use_lockfile = true
    EOT
    error_message = "The backend configuration must name the bucket and enable the lock file."
  }

  assert {
    condition = {
      for statement in jsondecode(data.aws_iam_policy_document.tls_only.json).Statement :
      statement.Sid => [statement.Effect, statement.Principal, statement.Action, jsonencode(statement.Condition)]
      } == {
      DenyInsecureTransport = ["Deny", "*", "s3:*", jsonencode({ Bool = { "aws:SecureTransport" = "false" } })]
      DenyOutdatedTls       = ["Deny", "*", "s3:*", jsonencode({ NumericLessThan = { "s3:TlsVersion" = "1.2" } })]
    }
    error_message = "Everything without TLS 1.2 must be denied to every principal."
  }
}

run "values_out_of_range" {
  command = plan

  variables {
    state_bucket_name                  = "state.example.org"
    region                             = "Ireland"
    noncurrent_version_expiration_days = 1
    kms_key_arn                        = "alias/state"
  }

  expect_failures = [var.state_bucket_name, var.region, var.noncurrent_version_expiration_days, var.kms_key_arn]
}
