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
  egress = [{ ports = [443], cidrs = ["0.0.0.0/0"] }]
}

run "listens_on_4545" {
  command = plan

  assert {
    condition     = { for port in kubernetes_deployment_v1.this.spec[0].template[0].spec[0].container[0].port : port.name => port.container_port } == { http = 4545, metrics = 9464 }
    error_message = "The web container must listen on 4545, and on 9464 for metrics."
  }

  assert {
    condition     = kubernetes_config_map_v1.this.data.BIND == "0.0.0.0:4545" && kubernetes_config_map_v1.this.data.METRICS_BIND == "0.0.0.0:9464"
    error_message = "The service must be told the ports its container declares."
  }

  assert {
    condition     = kubernetes_deployment_v1.this.spec[0].template[0].spec[0].container[0].command == null
    error_message = "The web pods must run what the image runs by itself."
  }
}

run "probes_carry_a_host_the_service_accepts" {
  command = plan

  assert {
    condition = {
      for name, probe in {
        startup   = kubernetes_deployment_v1.this.spec[0].template[0].spec[0].container[0].startup_probe[0]
        liveness  = kubernetes_deployment_v1.this.spec[0].template[0].spec[0].container[0].liveness_probe[0]
        readiness = kubernetes_deployment_v1.this.spec[0].template[0].spec[0].container[0].readiness_probe[0]
        } : name => join(" ", concat(
          [probe.http_get[0].path, probe.http_get[0].port],
          [for header in probe.http_get[0].http_header : "${header.name}=${header.value}"],
      ))
      } == {
      startup   = "/api/health 4545 Host=mirrorsite"
      liveness  = "/api/health 4545 Host=mirrorsite"
      readiness = "/api/ready 4545 Host=mirrorsite"
    }
    error_message = "Start and life are /api/health, readiness is /api/ready, each with a Host header."
  }

  assert {
    condition     = contains(split(",", kubernetes_config_map_v1.this.data.ALLOWED_HOSTS), "mirrorsite")
    error_message = "The probes' Host must be among the allowed ones."
  }
}

run "every_pod_is_restricted" {
  command = plan

  assert {
    condition = alltrue([
      for pod in concat(
        [kubernetes_deployment_v1.this.spec[0].template[0].spec[0], kubernetes_job_v1.migrate.spec[0].template[0].spec[0]],
        [for job in kubernetes_cron_job_v1.this : job.spec[0].job_template[0].spec[0].template[0].spec[0]],
        ) : (
        pod.automount_service_account_token == false
        && pod.enable_service_links == false
        && pod.security_context[0].run_as_non_root
        && pod.security_context[0].run_as_user == "10001"
        && pod.security_context[0].seccomp_profile[0].type == "RuntimeDefault"
        && length(pod.container) == 1
        && pod.container[0].security_context[0].allow_privilege_escalation == false
        && pod.container[0].security_context[0].read_only_root_filesystem
        && pod.container[0].security_context[0].capabilities[0].drop == tolist(["ALL"])
        && length(pod.container[0].security_context[0].capabilities[0].add == null ? [] : pod.container[0].security_context[0].capabilities[0].add) == 0
        && pod.container[0].resources[0].requests.memory == "192Mi"
        && pod.container[0].resources[0].limits.memory == "512Mi"
        && pod.volume[0].name == "tmp" && length(pod.volume[0].empty_dir) == 1
      )
    ])
    error_message = "Web, migration and scheduled pods must all run restricted, without a token, with a read-only root and limits."
  }

  assert {
    condition     = kubernetes_service_account_v1.this.automount_service_account_token == false
    error_message = "The service account must not hand out its token either."
  }
}

run "web_pods_end_gracefully_and_spread" {
  command = plan

  assert {
    condition     = kubernetes_deployment_v1.this.spec[0].template[0].spec[0].container[0].lifecycle[0].pre_stop[0].exec[0].command == tolist(["sleep", "15"]) && kubernetes_deployment_v1.this.spec[0].template[0].spec[0].termination_grace_period_seconds == 60
    error_message = "A pod must go on serving while load balancers forget it, within its grace period."
  }

  assert {
    condition     = kubernetes_deployment_v1.this.spec[0].strategy[0].rolling_update[0].max_unavailable == "0" && kubernetes_deployment_v1.this.spec[0].strategy[0].rolling_update[0].max_surge == "1"
    error_message = "A rollout must not take a pod away before the next is ready."
  }

  assert {
    condition     = { for constraint in kubernetes_deployment_v1.this.spec[0].template[0].spec[0].topology_spread_constraint : constraint.topology_key => constraint.when_unsatisfiable } == { "kubernetes.io/hostname" = "ScheduleAnyway", "topology.kubernetes.io/zone" = "ScheduleAnyway" }
    error_message = "Pods must spread over nodes and zones where there are several, and start where there is one."
  }
}

run "the_environment_is_complete" {
  command = plan

  variables {
    settings = {
      bucket_name          = "mirrorsite-test-uploads"
      region               = "eu-central-1"
      s3_endpoint_url      = "http://store:8333"
      allowed_hosts        = ["mirrorsite.example.org"]
      csrf_trusted_origins = ["https://mirrorsite.example.org"]
      trusted_proxies      = 1
      upload_max_bytes     = 1073741824
      upload_auth          = "token"
      upload_rate_limit    = "60/m"
      cache_url            = "redis://cache:6379/0"
      audit_public_keys    = "key-1:AAAA"
    }
  }

  assert {
    condition = kubernetes_config_map_v1.this.data == tomap({
      ALLOWED_HOSTS           = "mirrorsite,mirrorsite.mirrorsite.svc.cluster.local,mirrorsite.example.org"
      CSRF_TRUSTED_ORIGINS    = "https://mirrorsite.example.org"
      HTTPS_ONLY              = "true"
      TRUSTED_PROXIES         = "1"
      AWS_STORAGE_BUCKET_NAME = "mirrorsite-test-uploads"
      AWS_DEFAULT_REGION      = "eu-central-1"
      AWS_ENDPOINT_URL_S3     = "http://store:8333"
      UPLOAD_MAX_BYTES        = "1073741824"
      UPLOAD_AUTH             = "token"
      UPLOAD_RATE_LIMIT       = "60/m"
      CACHE_URL               = "redis://cache:6379/0"
      LOG_FORMAT              = "json"
      BIND                    = "0.0.0.0:4545"
      METRICS_BIND            = "0.0.0.0:9464"
      WEB_CONCURRENCY         = "2"
      WEB_THREADS             = "6"
      AUDIT_PUBLIC_KEYS       = "key-1:AAAA"
    })
    error_message = "The ConfigMap must hold every setting under its own name, and nothing secret."
  }
}

run "what_is_not_set_is_left_to_the_service" {
  command = plan

  assert {
    condition     = length(setintersection(keys(kubernetes_config_map_v1.this.data), ["AWS_ENDPOINT_URL_S3", "UPLOAD_MAX_BYTES", "UPLOAD_AUTH", "UPLOAD_RATE_LIMIT", "CACHE_URL", "CSRF_TRUSTED_ORIGINS", "AUDIT_PUBLIC_KEYS"])) == 0
    error_message = "A setting nobody gave must not appear."
  }

  assert {
    condition     = kubernetes_config_map_v1.this.data.HTTPS_ONLY == "true"
    error_message = "By default plain HTTP is refused."
  }
}

run "no_authority_is_mounted_that_nobody_gave" {
  command = plan

  assert {
    condition     = length(kubernetes_config_map_v1.database_ca) == 0 && !contains(keys(kubernetes_config_map_v1.this.data), "PGSSLROOTCERT") && !contains(kubernetes_deployment_v1.this.spec[0].template[0].spec[0].volume[*].name, "database-ca")
    error_message = "Without a bundle there is nothing to mount."
  }
}

# Web pods, migration and scheduled commands all speak to the database.
run "the_databases_authority_reaches_every_pod" {
  command = plan

  variables {
    database_ca_bundle = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
  }

  assert {
    condition     = kubernetes_config_map_v1.database_ca[0].data == tomap({ "ca.pem" = var.database_ca_bundle }) && kubernetes_config_map_v1.this.data.PGSSLROOTCERT == "/etc/mirrorsite/database-ca/ca.pem"
    error_message = "libpq must be told where the certificates lie."
  }

  assert {
    condition = toset([
      for pod in concat(
        [kubernetes_deployment_v1.this.spec[0].template[0].spec[0], kubernetes_job_v1.migrate.spec[0].template[0].spec[0]],
        [for job in kubernetes_cron_job_v1.this : job.spec[0].job_template[0].spec[0].template[0].spec[0]],
      ) :
      join(" ", concat(
        [for volume in pod.volume : volume.config_map[0].name if volume.name == "database-ca"],
        [for mount in pod.container[0].volume_mount : "${mount.mount_path} ${mount.read_only}" if mount.name == "database-ca"],
      ))
    ]) == toset(["mirrorsite-database-ca /etc/mirrorsite/database-ca true"])
    error_message = "Every pod must have them where it was told."
  }
}

run "only_the_sealing_job_can_sign" {
  command = plan

  assert {
    condition = {
      for key, job in kubernetes_cron_job_v1.this :
      key => [for variable in job.spec[0].job_template[0].spec[0].template[0].spec[0].container[0].env : variable.value_from[0].secret_key_ref[0].name]
      if length(job.spec[0].job_template[0].spec[0].template[0].spec[0].container[0].env) > 0
    } == { "seal-audit" = ["mirrorsite-audit-signing"] }
    error_message = "The signing key belongs to the sealing job alone."
  }

  assert {
    condition     = [for source in kubernetes_deployment_v1.this.spec[0].template[0].spec[0].container[0].env_from : one(source.secret_ref).name if length(source.secret_ref) > 0] == ["mirrorsite-application"] && length(kubernetes_deployment_v1.this.spec[0].template[0].spec[0].container[0].env) == 0
    error_message = "The web pods must get the application's Secret and no other."
  }
}

run "scheduled_commands" {
  command = plan

  assert {
    condition = {
      for key, job in kubernetes_cron_job_v1.this :
      key => join(" ", concat([job.spec[0].schedule, ":"], job.spec[0].job_template[0].spec[0].template[0].spec[0].container[0].command))
      } == {
      "seal-audit"            = "* * * * * : python manage.py seal_audit"
      "reconcile-uploads"     = "*/10 * * * * : python manage.py reconcile_uploads --fix --min-age 15m --since 1d"
      "reconcile-all-uploads" = "23 1 * * 0 : python manage.py reconcile_uploads --fix --min-age 15m"
      "purge-uploads"         = "17 3 * * * : python manage.py purge_uploads --older-than 30d --yes"
      "verify-audit"          = "47 4 * * * : python manage.py verify_audit --since 2d"
      "verify-whole-audit"    = "47 5 2 * * : python manage.py verify_audit"
      "canary"                = "*/15 * * * * : python manage.py canary --base-url http://mirrorsite"
    }
    error_message = "The scheduled commands must be these, with these options."
  }

  assert {
    condition = alltrue([
      for job in kubernetes_cron_job_v1.this : (
        job.spec[0].concurrency_policy == "Forbid"
        && job.spec[0].timezone == "Etc/UTC"
        && job.spec[0].job_template[0].spec[0].template[0].spec[0].restart_policy == "Never"
        && job.spec[0].job_template[0].spec[0].active_deadline_seconds > 0
        && length(job.metadata[0].name) <= 52
      )
    ])
    error_message = "Scheduled runs must not overlap, hang for ever or have names the cluster refuses."
  }
}

run "schedules_can_be_changed" {
  command = plan

  variables {
    cron_jobs        = { canary = { suspend = true }, seal-audit = { schedule = "*/5 * * * *" } }
    purge_after_days = 7
    canary_base_url  = "https://mirrorsite.example.org"
  }

  assert {
    condition     = kubernetes_cron_job_v1.this["canary"].spec[0].suspend && kubernetes_cron_job_v1.this["canary"].spec[0].schedule == "*/15 * * * *" && kubernetes_cron_job_v1.this["seal-audit"].spec[0].schedule == "*/5 * * * *" && !kubernetes_cron_job_v1.this["seal-audit"].spec[0].suspend
    error_message = "Each schedule must be changeable without touching the others."
  }

  assert {
    condition     = contains(kubernetes_cron_job_v1.this["purge-uploads"].spec[0].job_template[0].spec[0].template[0].spec[0].container[0].command, "7d") && contains(kubernetes_cron_job_v1.this["canary"].spec[0].job_template[0].spec[0].template[0].spec[0].container[0].command, "https://mirrorsite.example.org")
    error_message = "Retention and the canary's address must reach the commands."
  }
}

run "one_migration_per_release" {
  command = plan

  assert {
    condition     = startswith(kubernetes_job_v1.migrate.metadata[0].name, "mirrorsite-migrate-1f2e3d4c-") && length(kubernetes_job_v1.migrate.metadata[0].name) <= 63
    error_message = "The Job must be named after the release."
  }

  assert {
    condition     = kubernetes_job_v1.migrate.wait_for_completion && kubernetes_job_v1.migrate.spec[0].ttl_seconds_after_finished == null && kubernetes_job_v1.migrate.spec[0].template[0].spec[0].container[0].command == tolist(["python", "manage.py", "migrate", "--noinput"])
    error_message = "The rollout must wait for the migrations, and the finished Job must stay."
  }
}

run "long_and_odd_tags_make_valid_names" {
  command = plan

  variables {
    name  = "mirrorsite-with-long-nam"
    image = "registry.example.org:5050/mirrorsite:Release_1.2.3-rc.1.with.a.very.long.tail"
  }

  assert {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])$", kubernetes_job_v1.migrate.metadata[0].name))
    error_message = "Any tag must make a DNS label."
  }
}

run "two_pods_survive_a_drain" {
  command = plan

  assert {
    condition     = length(kubernetes_pod_disruption_budget_v1.this) == 1 && kubernetes_pod_disruption_budget_v1.this[0].spec[0].max_unavailable == "1" && kubernetes_deployment_v1.this.spec[0].replicas == "2"
    error_message = "Two pods need a disruption budget."
  }

  assert {
    condition     = length(kubernetes_horizontal_pod_autoscaler_v2.this) == 0
    error_message = "Autoscaling must be off by default."
  }
}

run "one_pod_does_not_block_a_drain" {
  command = plan

  variables {
    replicas = 1
  }

  assert {
    condition     = length(kubernetes_pod_disruption_budget_v1.this) == 0
    error_message = "A disruption budget for one pod would block every drain."
  }
}

run "the_autoscaler_owns_the_replicas" {
  command = plan

  variables {
    autoscaling = { enabled = true, max_replicas = 4 }
  }

  assert {
    condition     = kubernetes_horizontal_pod_autoscaler_v2.this[0].spec[0].min_replicas == 2 && kubernetes_horizontal_pod_autoscaler_v2.this[0].spec[0].max_replicas == 4 && kubernetes_horizontal_pod_autoscaler_v2.this[0].spec[0].scale_target_ref[0].name == "mirrorsite"
    error_message = "The autoscaler must move between the given bounds."
  }

  assert {
    condition     = length(kubernetes_pod_disruption_budget_v1.this) == 1
    error_message = "Two pods at least need a disruption budget."
  }
}

run "secrets_are_write_only" {
  command = plan

  variables {
    secrets_revision  = 3
    registry_server   = "registry.example.org"
    registry_username = "deploy"
    registry_password = "token"
  }

  assert {
    condition     = [kubernetes_secret_v1.application[0].data_wo_revision, kubernetes_secret_v1.audit[0].data_wo_revision, kubernetes_secret_v1.registry[0].data_wo_revision] == [3, 3, 3]
    error_message = "Every Secret must be written again when the revision rises."
  }

  assert {
    condition     = kubernetes_secret_v1.registry[0].type == "kubernetes.io/dockerconfigjson" && kubernetes_deployment_v1.this.spec[0].template[0].spec[0].image_pull_secrets[0].name == "mirrorsite-registry"
    error_message = "Pods must pull with the registry's Secret."
  }

  assert {
    condition     = kubernetes_deployment_v1.this.spec[0].template[0].metadata[0].annotations["mirrorsite/secrets-revision"] == "3"
    error_message = "Pods must be replaced when the revision rises."
  }
}

run "secrets_kept_elsewhere_are_not_made" {
  command = plan

  variables {
    existing_secrets  = { application = "from-outside", audit = "audit-from-outside", registry = "pull-from-outside" }
    secret_key        = null
    database_url      = null
    audit_signing_key = null
  }

  assert {
    condition     = length(kubernetes_secret_v1.application) + length(kubernetes_secret_v1.audit) + length(kubernetes_secret_v1.registry) == 0
    error_message = "No Secret may be made that something else keeps."
  }

  assert {
    condition = (
      [for source in kubernetes_job_v1.migrate.spec[0].template[0].spec[0].container[0].env_from : one(source.secret_ref).name if length(source.secret_ref) > 0] == ["from-outside"]
      && kubernetes_cron_job_v1.this["seal-audit"].spec[0].job_template[0].spec[0].template[0].spec[0].container[0].env[0].value_from[0].secret_key_ref[0].name == "audit-from-outside"
      && kubernetes_deployment_v1.this.spec[0].template[0].spec[0].image_pull_secrets[0].name == "pull-from-outside"
    )
    error_message = "The given Secrets must be used."
  }
}

run "network_is_closed_but_for_what_is_needed" {
  command = plan

  variables {
    metrics_namespace = "monitoring"
    egress = [
      { ports = [5432], pod_labels = { "app.kubernetes.io/name" = "mirrorsite-postgres" } },
      { ports = [443], cidrs = ["203.0.113.0/24"] },
    ]
  }

  assert {
    condition = jsonencode([
      for rule in kubernetes_network_policy_v1.web.spec[0].ingress :
      [rule.ports[*].port, [for peer in rule.from : peer.namespace_selector[0].match_labels]]
    ]) == jsonencode([[["4545"], []], [["9464"], [{ "kubernetes.io/metadata.name" = "monitoring" }]]])
    error_message = "4545 must be open, and 9464 to the monitoring namespace only."
  }

  assert {
    condition = jsonencode([
      for rule in kubernetes_network_policy_v1.all.spec[0].egress : [
        rule.ports[*].port,
        [for peer in rule.to : length(peer.ip_block) > 0 ? peer.ip_block[0].cidr : peer.pod_selector[0].match_labels["app.kubernetes.io/name"]],
      ]
    ]) == jsonencode([[["53", "53"], []], [["4545"], ["mirrorsite"]], [["5432"], ["mirrorsite-postgres"]], [["443"], ["203.0.113.0/24"]]])
    error_message = "Pods may resolve names, reach each other, and go where egress says."
  }
}

# As eks/app sets them: what answers the loss of a node or of a zone.
run "spread_over_zones" {
  command = plan

  variables {
    autoscaling                  = { enabled = true, min_replicas = 3 }
    spread                       = { zones = "DoNotSchedule" }
    node_loss_toleration_seconds = 30
    annotations                  = { "secret.reloader.stakater.com/reload" = "mirrorsite-application" }
  }

  assert {
    condition = { for constraint in kubernetes_deployment_v1.this.spec[0].template[0].spec[0].topology_spread_constraint : constraint.topology_key => [constraint.when_unsatisfiable, constraint.node_taints_policy] } == {
      "kubernetes.io/hostname"      = ["ScheduleAnyway", "Honor"]
      "topology.kubernetes.io/zone" = ["DoNotSchedule", "Honor"]
    }
    error_message = "A pod in each zone is a demand, and a lost zone is not waited for."
  }

  assert {
    condition     = { for toleration in kubernetes_deployment_v1.this.spec[0].template[0].spec[0].toleration : toleration.key => toleration.toleration_seconds } == { "node.kubernetes.io/not-ready" = "30", "node.kubernetes.io/unreachable" = "30" }
    error_message = "The pods of a lost node must be started elsewhere after 30 seconds."
  }

  assert {
    condition     = kubernetes_deployment_v1.this.metadata[0].annotations["secret.reloader.stakater.com/reload"] == "mirrorsite-application"
    error_message = "Whoever watches the Deployment must find the annotation."
  }
}

run "a_node_is_given_up_by_the_clusters_own_rule" {
  command = plan

  assert {
    condition     = length(kubernetes_deployment_v1.this.spec[0].template[0].spec[0].toleration) == 0
    error_message = "Without a number nothing may be said of it."
  }
}

run "a_slow_load_balancer_is_waited_for" {
  command = plan

  variables {
    rollout = { max_surge = "34%", drain_seconds = 60, minutes = 20 }
  }

  assert {
    condition     = kubernetes_deployment_v1.this.spec[0].template[0].spec[0].container[0].lifecycle[0].pre_stop[0].exec[0].command == tolist(["sleep", "60"]) && kubernetes_deployment_v1.this.spec[0].template[0].spec[0].termination_grace_period_seconds == 105
    error_message = "The grace period must cover the wait and gunicorn's own 30 seconds after it."
  }

  assert {
    condition     = kubernetes_deployment_v1.this.spec[0].strategy[0].rolling_update[0].max_surge == "34%" && kubernetes_deployment_v1.this.spec[0].strategy[0].rolling_update[0].max_unavailable == "0" && kubernetes_deployment_v1.this.timeouts.update == "20m"
    error_message = "Many pods must be replaced a third at a time, and the apply must wait for that."
  }
}
