# Both policies are data sources computed by the real provider without a call to
# AWS: no mock, so what is asserted is what AWS would be given.

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

run "tls_only" {
  command = plan

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
    error_message = "Every action without TLS must be denied to everybody, on the bucket and on its objects."
  }

  assert {
    condition = one([
      for statement in jsondecode(data.aws_iam_policy_document.bucket.json).Statement : statement.Condition
      if statement.Sid == "DenyOutdatedTls"
    ]) == { NumericLessThan = { "s3:TlsVersion" = "1.2" } }
    error_message = "TLS older than 1.2 must be denied."
  }
}

run "unconditional_puts_are_refused" {
  command = plan

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
    error_message = "Puts without If-None-Match must be denied under every prefix, the parts of a multipart upload excepted."
  }
}

run "nobody_deletes_audit_copies" {
  command = plan

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
    error_message = "Without break-glass principals the deletion of audit copies must be denied to everybody, without a condition."
  }

  assert {
    condition = alltrue([
      for statement in jsondecode(data.aws_iam_policy_document.application.json).Statement :
      !contains(flatten([statement.Action]), "s3:DeleteObject") || statement.Resource == "arn:aws:s3:::mirrorsite-test-uploads/uploads/*"
    ])
    error_message = "The service may delete uploads and nothing else."
  }
}

run "only_the_break_glass_principal_deletes_audit_copies" {
  command = plan

  variables {
    break_glass_principal_arns = ["arn:aws:iam::123456789012:role/break-glass"]
  }

  assert {
    condition = one([
      for statement in jsondecode(data.aws_iam_policy_document.bucket.json).Statement : statement.Condition
      if statement.Sid == "DenyAuditDelete"
    ]) == { ArnNotLike = { "aws:PrincipalArn" = "arn:aws:iam::123456789012:role/break-glass" } }
    error_message = "Only the named principal may be excepted."
  }
}

run "the_service_may_use_the_key_it_writes_with" {
  command = plan

  variables {
    kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"
  }

  assert {
    condition = one([
      for statement in jsondecode(data.aws_iam_policy_document.application.json).Statement : statement.Resource
      if statement.Sid == "UseTheBucketKey"
    ]) == "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"
    error_message = "With a key of one's own the service must be allowed that key and no other."
  }
}
