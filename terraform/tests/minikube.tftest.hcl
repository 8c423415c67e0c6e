# The file that is deployed with, and no account with AWS: the provider is not
# mocked and its credentials are taken away by the script that runs this.

mock_provider "kubernetes" {}

variables {
  image                 = "mirrorsite:1.0.0"
  secret_key            = "a-secret-key-for-tests-that-is-longer-than-fifty-characters"
  postgres_password     = "correct-horse-battery/staple"
  aws_access_key_id     = "MIRRORSITELOCAL1"
  aws_secret_access_key = "staple-correct-horse-battery"
  audit_signing_key     = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

  object_store = "cluster"
  settings     = { https_only = false, allowed_hosts = ["localhost"] }
  service      = { wait_for_load_balancer = false }
}

run "needs_no_account" {
  command = plan

  assert {
    condition     = length(module.s3) == 0 && output.application_policy_json == null
    error_message = "Nothing of AWS may be left."
  }

  assert {
    condition     = output.s3_endpoint_url == "http://mirrorsite-store.mirrorsite.svc.cluster.local:8333" && output.bucket_name == "mirrorsite-uploads"
    error_message = "The service must be pointed at the store in the cluster."
  }

  assert {
    condition = jsonencode(local.egress) == jsonencode([
      { cidrs = [], pod_labels = { "app.kubernetes.io/name" = "mirrorsite-store" }, ports = [8333] },
      { cidrs = [], pod_labels = { "app.kubernetes.io/name" = "mirrorsite-postgres" }, ports = [5432] },
    ])
    error_message = "Without AWS no pod needs to leave the cluster."
  }
}

# Several refusals in a run: each run starts the large AWS provider anew.

run "refuses_to_go_without_secrets" {
  command = plan

  variables {
    aws_access_key_id = null
    postgres_password = null
  }

  expect_failures = [var.aws_access_key_id, var.postgres_password]
}

run "refuses_two_databases" {
  command = plan

  variables {
    database_url = "postgres://mirrorsite:secret@db.example.org/mirrorsite"
  }

  expect_failures = [var.database_url]
}

run "refuses_what_it_does_not_know" {
  command = plan

  variables {
    object_store = "minio"
    database     = "sqlite"
    region       = "Ireland"
  }

  expect_failures = [var.object_store, var.database, var.region]
}
