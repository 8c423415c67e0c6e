mock_provider "kubernetes" {}

mock_provider "helm" {}

variables {
  image                 = "mirrorsite:1.0.0"
  secret_key            = "a-secret-key-for-tests-that-is-longer-than-fifty-characters"
  postgres_password     = "correct-horse-battery/staple"
  aws_access_key_id     = "MIRRORSITELOCAL1"
  aws_secret_access_key = "staple-correct-horse-battery"
  audit_signing_key     = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
  audit_public_keys     = "0123456789abcdef:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
  settings              = { HTTPS_ONLY = "false", ALLOWED_HOSTS = "localhost" }
}

run "needs_no_account" {
  command = plan

  assert {
    condition     = jsonencode(local.egress) == jsonencode([{ cidrs = [], pod_labels = { "app.kubernetes.io/name" = "mirrorsite-store" }, ports = [8333] }, { cidrs = [], pod_labels = { "app.kubernetes.io/name" = "mirrorsite-postgres" }, ports = [5432] }])
    error_message = "Without AWS no pod needs to leave the cluster."
  }

  assert {
    condition     = output.image == "mirrorsite:1.0.0"
    error_message = "The rollback needs the release's image from the state."
  }
}

run "a_bucket_and_a_database_elsewhere" {
  command = plan

  variables {
    object_store      = "external"
    bucket_name       = "mirrorsite-test-uploads"
    database          = "external"
    database_url      = "postgres://mirrorsite:secret@db.example.org:5432/mirrorsite"
    postgres_password = null
    egress            = [{ ports = [5432], cidrs = ["10.0.0.0/16"] }]
  }

  assert {
    condition     = jsonencode([for rule in local.egress : [rule.ports, rule.cidrs]]) == jsonencode([[[443], ["0.0.0.0/0"]], [[5432], ["10.0.0.0/16"]]])
    error_message = "Pods must reach S3 and what was named, and nothing else."
  }
}

run "refuses_to_go_without_secrets" {
  command = plan

  variables {
    aws_access_key_id = null
    postgres_password = null
  }

  expect_failures = [var.aws_access_key_id, var.postgres_password]
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

run "refuses_two_databases" {
  command = plan

  variables {
    database_url = "postgres://mirrorsite:secret@db.example.org/mirrorsite"
  }

  expect_failures = [var.database_url]
}
