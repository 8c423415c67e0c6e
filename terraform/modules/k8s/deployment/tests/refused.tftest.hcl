mock_provider "kubernetes" {}

variables {
  namespace         = "mirrorsite"
  image             = "registry.example.org/group/mirrorsite:1f2e3d4c"
  secret_key        = "a-secret-key-for-tests-that-is-longer-than-fifty-characters"
  database_url      = "postgres://mirrorsite:secret@db.example.org:5432/mirrorsite"
  audit_signing_key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
  settings = {
    bucket_name     = "mirrorsite-test-uploads"
    region          = "eu-west-1"
    trusted_proxies = 1
  }
  egress = []
}

run "refuses_a_moving_tag" {
  command = plan

  variables {
    image = "registry.example.org/mirrorsite:latest"
  }

  expect_failures = [var.image]
}

run "refuses_an_image_without_a_tag" {
  command = plan

  variables {
    image = "registry.example.org:5050/mirrorsite"
  }

  expect_failures = [var.image]
}

run "refuses_an_unknown_pull_policy" {
  command = plan

  variables {
    image_pull_policy = "Sometimes"
  }

  expect_failures = [var.image_pull_policy]
}

run "refuses_a_long_name" {
  command = plan

  variables {
    name = "a-name-of-more-than-24-letters"
  }

  expect_failures = [var.name]
}

run "refuses_no_pods" {
  command = plan

  variables {
    replicas = 0
  }

  expect_failures = [var.replicas]
}

run "refuses_upside_down_autoscaling" {
  command = plan

  variables {
    autoscaling = { enabled = true, min_replicas = 4, max_replicas = 2 }
  }

  expect_failures = [var.autoscaling]
}

run "refuses_an_autoscaling_target_of_nothing" {
  command = plan

  variables {
    autoscaling = { enabled = true, target_percent = 0 }
  }

  expect_failures = [var.autoscaling]
}

run "refuses_memory_without_unit" {
  command = plan

  variables {
    resources = { memory_limit = "512" }
  }

  expect_failures = [var.resources]
}

run "refuses_cpu_in_words" {
  command = plan

  variables {
    resources = { cpu_request = "half" }
  }

  expect_failures = [var.resources]
}

run "refuses_an_unknown_job" {
  command = plan

  variables {
    cron_jobs = { backup = { suspend = true } }
  }

  expect_failures = [var.cron_jobs]
}

run "refuses_a_schedule_of_four_fields" {
  command = plan

  variables {
    cron_jobs = { canary = { schedule = "* * * *" } }
  }

  expect_failures = [var.cron_jobs]
}

run "refuses_to_purge_at_once" {
  command = plan

  variables {
    purge_after_days = 0
  }

  expect_failures = [var.purge_after_days]
}

run "refuses_a_canary_url_with_a_path" {
  command = plan

  variables {
    canary_base_url = "https://mirrorsite.example.org/api"
  }

  expect_failures = [var.canary_base_url]
}

run "refuses_any_host" {
  command = plan

  variables {
    settings = { bucket_name = "b", region = "r", https_only = false, allowed_hosts = ["*"] }
  }

  expect_failures = [var.settings]
}

run "refuses_a_host_with_a_scheme" {
  command = plan

  variables {
    settings = { bucket_name = "b", region = "r", https_only = false, allowed_hosts = ["https://mirrorsite.example.org"] }
  }

  expect_failures = [var.settings]
}

run "refuses_an_origin_without_a_scheme" {
  command = plan

  variables {
    settings = { bucket_name = "b", region = "r", https_only = false, csrf_trusted_origins = ["mirrorsite.example.org"] }
  }

  expect_failures = [var.settings]
}

run "refuses_to_redirect_for_ever" {
  command = plan

  variables {
    settings = { bucket_name = "b", region = "r", https_only = true, trusted_proxies = 0 }
  }

  expect_failures = [var.settings]
}

run "refuses_half_a_proxy" {
  command = plan

  variables {
    settings = { bucket_name = "b", region = "r", trusted_proxies = 1.5 }
  }

  expect_failures = [var.settings]
}

run "refuses_an_unknown_upload_auth" {
  command = plan

  variables {
    settings = { bucket_name = "b", region = "r", https_only = false, upload_auth = "password" }
  }

  expect_failures = [var.settings]
}

run "refuses_an_unknown_log_format" {
  command = plan

  variables {
    settings = { bucket_name = "b", region = "r", https_only = false, log_format = "xml" }
  }

  expect_failures = [var.settings]
}

run "refuses_uploads_of_nothing" {
  command = plan

  variables {
    settings = { bucket_name = "b", region = "r", https_only = false, upload_max_bytes = 0 }
  }

  expect_failures = [var.settings]
}

run "refuses_an_endpoint_with_a_path" {
  command = plan

  variables {
    settings = { bucket_name = "b", region = "r", https_only = false, s3_endpoint_url = "http://store/s3" }
  }

  expect_failures = [var.settings]
}

run "refuses_a_password_in_the_config_map" {
  command = plan

  variables {
    settings = { bucket_name = "b", region = "r", https_only = false, cache_url = "redis://:secret@cache:6379/0" }
  }

  expect_failures = [var.settings]
}

run "refuses_a_key_for_a_certificate" {
  command = plan

  variables {
    database_ca_bundle = "-----BEGIN CERTIFICATE-----\nAAAA\n-----BEGIN PRIVATE KEY-----\n-----END CERTIFICATE-----"
  }

  expect_failures = [var.database_ca_bundle]
}

run "refuses_the_name_of_a_file" {
  command = plan

  variables {
    database_ca_bundle = "ca/bundle.pem"
  }

  expect_failures = [var.database_ca_bundle]
}

run "refuses_no_workers" {
  command = plan

  variables {
    settings = { bucket_name = "b", region = "r", https_only = false, web_concurrency = 0 }
  }

  expect_failures = [var.settings]
}

run "refuses_revision_zero" {
  command = plan

  variables {
    secrets_revision = 0
  }

  expect_failures = [var.secrets_revision]
}

run "refuses_a_short_secret_key" {
  command = plan

  variables {
    secret_key = "short"
  }

  expect_failures = [var.secret_key]
}

run "refuses_no_secret_key" {
  command = plan

  variables {
    secret_key = null
  }

  expect_failures = [var.secret_key]
}

run "refuses_sqlite_for_several_pods" {
  command = plan

  variables {
    database_url = "sqlite:////tmp/db.sqlite3"
  }

  expect_failures = [var.database_url]
}

run "refuses_half_an_access_key" {
  command = plan

  variables {
    aws_access_key_id = "AKIAEXAMPLE"
  }

  expect_failures = [var.aws_secret_access_key]
}

run "refuses_a_signing_key_that_is_none" {
  command = plan

  variables {
    audit_signing_key = "changeme"
  }

  expect_failures = [var.audit_signing_key]
}

run "refuses_a_registry_with_a_scheme" {
  command = plan

  variables {
    registry_server   = "https://registry.example.org"
    registry_username = "deploy"
    registry_password = "token"
  }

  expect_failures = [var.registry_server]
}

run "refuses_a_registry_user_without_a_registry" {
  command = plan

  variables {
    registry_username = "deploy"
  }

  expect_failures = [var.registry_username]
}

run "refuses_a_registry_password_without_a_registry" {
  command = plan

  variables {
    registry_password = "token"
  }

  expect_failures = [var.registry_password]
}

run "refuses_to_open_everything" {
  command = plan

  variables {
    egress = [{ ports = [443] }]
  }

  expect_failures = [var.egress]
}

run "refuses_a_network_that_is_none" {
  command = plan

  variables {
    egress = [{ ports = [443], cidrs = ["everywhere"] }]
  }

  expect_failures = [var.egress]
}

run "refuses_a_spread_that_kubernetes_does_not_know" {
  command = plan

  variables {
    spread                       = { zones = "Always" }
    node_loss_toleration_seconds = 1
  }

  expect_failures = [var.spread, var.node_loss_toleration_seconds]
}

run "refuses_a_rollout_without_a_successor" {
  command = plan

  variables {
    rollout = { max_surge = "0", drain_seconds = 0, minutes = 0 }
  }

  expect_failures = [var.rollout]
}
