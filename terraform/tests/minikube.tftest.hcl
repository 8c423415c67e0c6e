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
    error_message = "Without AWS no pod may connect to addresses outside the cluster."
  }
}

run "external_bucket_and_database" {
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
    error_message = "Pods may connect to S3 and what egress lists."
  }
}

run "external_store_on_a_port_of_its_own" {
  command = plan

  variables {
    object_store    = "external"
    s3_endpoint_url = "http://store.example.org:9000"
  }

  assert {
    condition     = jsonencode(local.egress[0].ports) == "[9000]"
    error_message = "Pods may connect to the port of s3_endpoint_url."
  }
}

run "missing_secrets" {
  command = plan

  variables {
    aws_access_key_id = null
    postgres_password = null
  }

  expect_failures = [var.aws_access_key_id, var.postgres_password]
}

run "values_out_of_range" {
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
