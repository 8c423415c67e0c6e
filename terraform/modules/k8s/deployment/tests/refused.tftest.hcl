# One refusal for each rule of variables.tf; several in one run, as a run takes time.

mock_provider "kubernetes" {}

mock_provider "helm" {}

variables {
  namespace         = "mirrorsite"
  image             = "registry.example.org/group/mirrorsite:1f2e3d4c"
  secret_key        = "a-secret-key-for-tests-that-is-longer-than-fifty-characters"
  database_url      = "postgres://mirrorsite:secret@db.example.org:5432/mirrorsite"
  audit_signing_key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
  audit_public_keys = "0123456789abcdef:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
  bucket            = { name = "mirrorsite-test-uploads", region = "eu-west-1" }
  settings          = { TRUSTED_PROXIES = "1" }
  egress            = [{ ports = [443], cidrs = ["0.0.0.0/0"] }]
}

run "values_out_of_range" {
  command = plan

  variables {
    name                         = "a-name-of-more-than-twenty-four"
    image                        = "mirrorsite:latest"
    image_pull_policy            = "Sometimes"
    replicas                     = 0
    autoscaling                  = { min_replicas = 3, max_replicas = 2 }
    resources                    = { memory_limit = "512" }
    cron_jobs                    = { seal-audit = {} }
    purge_after_days             = 0
    spread                       = { zones = "Perhaps" }
    node_loss_toleration_seconds = 1
    rollout                      = { max_surge = "0" }
    secrets_revision             = 0
    egress                       = [{ ports = [443] }]
    database_ca_bundle           = "/etc/ssl/bundle.pem"
    bucket                       = { name = "b", region = "eu-west-1", endpoint_url = "http://store:8333/path" }
    audit_public_keys            = "a-public-key"
  }

  expect_failures = [
    var.name, var.image, var.image_pull_policy, var.replicas, var.autoscaling, var.resources, var.cron_jobs,
    var.purge_after_days, var.spread, var.node_loss_toleration_seconds, var.rollout, var.secrets_revision, var.egress,
    var.database_ca_bundle, var.bucket, var.audit_public_keys,
  ]
}

run "an_image_without_a_tag" {
  command = plan

  variables {
    image     = "registry.example.org:5000/mirrorsite"
    cron_jobs = { canary = { schedule = "* * * *" } }
    resources = { cpu_request = "a little" }
    egress    = [{ ports = [443], cidrs = ["anywhere"] }]
  }

  expect_failures = [var.image, var.cron_jobs, var.resources, var.egress]
}

run "redirects_without_a_proxy" {
  command = plan

  variables {
    settings = {}
  }

  expect_failures = [var.settings]
}

run "a_secret_among_the_settings" {
  command = plan

  variables {
    settings = { HTTPS_ONLY = "false", SECRET_KEY = "k" }
  }

  expect_failures = [var.settings]
}

run "a_setting_that_is_derived" {
  command = plan

  variables {
    settings = { HTTPS_ONLY = "false", BIND = "0.0.0.0:80" }
  }

  expect_failures = [var.settings]
}

run "any_host" {
  command = plan

  variables {
    settings = { HTTPS_ONLY = "false", ALLOWED_HOSTS = "localhost,*" }
  }

  expect_failures = [var.settings]
}

run "a_password_in_the_config_map" {
  command = plan

  variables {
    settings = { HTTPS_ONLY = "false", CACHE_URL = "redis://:password@cache:6379/0" }
  }

  expect_failures = [var.settings]
}

run "secrets_that_are_none" {
  command = plan

  variables {
    secret_key            = "short"
    database_url          = "mysql://db/mirrorsite"
    audit_signing_key     = "not base64"
    aws_secret_access_key = "half-a-pair"
    registry_server       = "https://registry.example.org"
  }

  expect_failures = [var.secret_key, var.database_url, var.audit_signing_key, var.aws_secret_access_key, var.registry_server]
}

run "a_registry_without_a_user" {
  command = plan

  variables {
    registry_server = "registry.example.org"
  }

  expect_failures = [var.registry_username, var.registry_password]
}
