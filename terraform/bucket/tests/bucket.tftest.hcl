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
    condition     = toset(flatten([for statement in jsondecode(output.application_policy_json).Statement : statement.Resource])) == toset(["arn:aws:s3:::mirrorsite-test-uploads", "arn:aws:s3:::mirrorsite-test-uploads/uploads/*", "arn:aws:s3:::mirrorsite-test-uploads/audit/*", "arn:aws:s3:::mirrorsite-test-uploads/backups/*"])
    error_message = "The service's policy must name this bucket and no other."
  }

  assert {
    condition     = !strcontains(output.application_policy_json, "PutBucket")
    error_message = "The service must not be able to change the bucket."
  }
}
