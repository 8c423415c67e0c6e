# The document is computed by the real provider without a call to AWS.

provider "aws" {
  region                      = "eu-west-1"
  access_key                  = "unused"
  secret_key                  = "unused"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}

run "tls_only" {
  command = plan

  variables {
    state_bucket_name = "mirrorsite-test-state"
  }

  assert {
    condition = {
      for statement in jsondecode(data.aws_iam_policy_document.state.json).Statement :
      statement.Sid => [statement.Effect, statement.Principal, statement.Action, jsonencode(statement.Condition)]
      } == {
      DenyInsecureTransport = ["Deny", "*", "s3:*", jsonencode({ Bool = { "aws:SecureTransport" = "false" } })]
      DenyOutdatedTls       = ["Deny", "*", "s3:*", jsonencode({ NumericLessThan = { "s3:TlsVersion" = "1.2" } })]
    }
    error_message = "Everything without TLS 1.2 must be denied to everybody, and nothing else said."
  }
}
