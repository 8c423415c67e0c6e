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
    condition     = aws_s3_bucket_public_access_block.this.restrict_public_buckets && one(aws_s3_bucket_versioning.this.versioning_configuration).status == "Enabled" && [for statement in jsondecode(aws_s3_bucket_policy.this.policy).Statement : statement.Sid] == ["DenyInsecureTransport", "DenyOutdatedTls"]
    error_message = "The bucket must have what modules/s3 tests: protection.tf."
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
}

run "values_out_of_range" {
  command = plan

  variables {
    state_bucket_name                  = "state.example.org"
    region                             = "Ireland"
    noncurrent_version_expiration_days = 1
    kms_key_arn                        = "arn:aws:kms:eu-west-1:123456789012:alias/state"
  }

  expect_failures = [var.state_bucket_name, var.region, var.noncurrent_version_expiration_days, var.kms_key_arn]
}
