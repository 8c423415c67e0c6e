mock_provider "kubernetes" {}

mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
}

variables {
  image             = "registry.example.org/group/mirrorsite:1f2e3d4c"
  secret_key        = "a-secret-key-for-tests-that-is-longer-than-fifty-characters"
  audit_signing_key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

  object_store = "aws"
  bucket_name  = "mirrorsite-test-uploads"
  database     = "external"
  database_url = "postgres://mirrorsite:secret@db.example.org:5432/mirrorsite"
  egress       = [{ ports = [5432], cidrs = ["10.0.0.0/16"] }]
  settings     = { allowed_hosts = ["mirrorsite.example.org"], trusted_proxies = 1 }
}

run "bucket_in_aws_and_no_data_in_the_cluster" {
  command = plan

  assert {
    condition     = length(module.s3) == 1 && output.s3_endpoint_url == null
    error_message = "The bucket must be AWS's, reached at AWS's own address."
  }

  assert {
    condition     = module.data.postgres == null && module.data.object_store == null
    error_message = "Neither database nor store may be made in the cluster."
  }

  assert {
    condition = jsonencode([for rule in local.egress : [rule.ports, rule.cidrs]]) == jsonencode([
      [[443], ["0.0.0.0/0"]],
      [[5432], ["10.0.0.0/16"]],
    ])
    error_message = "Pods must reach S3 and what was named, and nothing else."
  }
}

run "minikube_with_a_bucket_in_aws" {
  command = plan

  variables {
    database          = "cluster"
    database_url      = null
    postgres_password = "correct-horse-battery"
  }

  assert {
    condition     = module.data.postgres.host == "mirrorsite-postgres.mirrorsite.svc.cluster.local" && module.data.object_store == null && length(module.s3) == 1
    error_message = "A database in the cluster must go together with a bucket in AWS."
  }
}

run "secrets_from_an_operator" {
  command = plan

  variables {
    database_url      = null
    secret_key        = null
    audit_signing_key = null
    existing_secrets  = { application = "mirrorsite", audit = "mirrorsite-audit" }
  }

  assert {
    condition     = output.service_account_name == "mirrorsite"
    error_message = "The pods' account must be named for the role they get."
  }
}
