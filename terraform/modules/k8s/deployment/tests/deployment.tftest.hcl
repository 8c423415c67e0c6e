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

run "defaults" {
  command = plan

  assert {
    condition     = { for port in module.pod["web"].spec.containers[0].ports : port.name => port.containerPort } == { http = 4545, metrics = 9464 } && local.environment.BIND == "0.0.0.0:4545" && local.environment.METRICS_BIND == "0.0.0.0:9464"
    error_message = "The container must declare the ports that the service listens on."
  }

  assert {
    condition     = alltrue([for probe in [module.pod["web"].spec.containers[0].startupProbe, module.pod["web"].spec.containers[0].livenessProbe, module.pod["web"].spec.containers[0].readinessProbe] : probe.httpGet.path == "/api/health" && probe.httpGet.port == 4545 && probe.httpGet.httpHeaders == [{ name = "Host", value = "mirrorsite" }]])
    error_message = "No probe may depend on the database or the bucket, and each must send an allowed Host."
  }

  assert {
    condition     = contains(split(",", local.environment.ALLOWED_HOSTS), "mirrorsite")
    error_message = "The probes' Host must be allowed."
  }

  assert {
    condition     = module.pod["web"].spec.containers[0].lifecycle.preStop.exec.command == ["sleep", "15"] && module.pod["web"].spec.terminationGracePeriodSeconds >= 15 + tonumber(local.environment.GRACEFUL_TIMEOUT_SECONDS) + 10
    error_message = "The grace period must cover preStop and gunicorn's graceful shutdown."
  }

  assert {
    condition     = local.web.spec.strategy.rollingUpdate == { maxSurge = 1, maxUnavailable = 0 } && local.web.spec.replicas == 2
    error_message = "A rollout must not remove a pod before its successor is ready."
  }

  assert {
    condition     = tonumber(trimsuffix(module.pod["web"].spec.containers[0].resources.requests.memory, "Mi")) >= 256
    error_message = "A web pod uses 235 MiB at rest and must request that."
  }

  assert {
    condition     = alltrue([for pod in module.pod : pod.spec.securityContext.runAsUser == 10001])
    error_message = "Every pod must run as the image's user."
  }

  assert {
    condition     = [for key, pod in module.pod : key if length([for variable in try(pod.spec.containers[0].env, []) : variable if variable.name == "AUDIT_SIGNING_KEY"]) > 0] == ["sealer"]
    error_message = "Only the sealer may have the signing key."
  }

  assert {
    condition     = local.sealer.spec.replicas == 1 && local.sealer.spec.strategy.type == "Recreate" && module.pod["sealer"].spec.containers[0].command == ["python", "manage.py", "seal_audit", "--every", "60"]
    error_message = "One pod must seal each minute, and terminate before the next starts."
  }

  assert {
    condition = { for key, job in local.cron_jobs : key => "${job.schedule} ${element(job.command, 2)}" if key != "canary" } == {
      backup-database       = "37 2 * * * backup_database"
      purge-uploads         = "17 3 * * * purge_uploads"
      reconcile-all-uploads = "23 1 * * 0 reconcile_uploads"
      reconcile-uploads     = "*/10 * * * * reconcile_uploads"
      verify-audit          = "47 4 * * * verify_audit"
      verify-whole-audit    = "47 5 2 * * verify_audit"
    }
    error_message = "These are the scheduled commands."
  }

  assert {
    condition     = strcontains(local.cron_jobs.canary.command[2], "issue_token canary")
    error_message = "The canary needs a token: UPLOAD_AUTH may require one."
  }

  assert {
    condition     = local.environment.AUDIT_PUBLIC_KEYS == var.audit_public_keys
    error_message = "verify_audit needs the public keys."
  }

  assert {
    condition     = alltrue([for job in local.scheduled : job.spec.concurrencyPolicy == "Forbid" && job.spec.jobTemplate.spec.backoffLimit == 0 && job.spec.jobTemplate.spec.activeDeadlineSeconds > 0 && length(job.metadata.name) <= 52])
    error_message = "Runs must not overlap or hang, and names must leave room for a Job's suffix."
  }
}

run "options" {
  command = plan

  variables {
    image             = "registry.example.org/mirrorsite:Feature_X.2-With-A-Very-Long-Name@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    replicas          = 1
    cron_jobs         = { canary = { suspend = true }, purge-uploads = { schedule = "0 0 1 * *" } }
    purge_after_days  = 7
    backups           = { enabled = false }
    secrets_revision  = 3
    registry_server   = "registry.example.org"
    registry_username = "deploy"
    registry_password = "token"
    metrics_namespace = "monitoring"
    egress            = [{ ports = [5432], pod_labels = { "app.kubernetes.io/name" = "db" } }, { ports = [443], cidrs = ["0.0.0.0/0"] }]
  }

  assert {
    condition     = { for job in local.scheduled : job.metadata.name => [job.spec.schedule, job.spec.suspend] if contains(["mirrorsite-canary", "mirrorsite-purge-uploads"], job.metadata.name) } == { mirrorsite-canary = ["*/15 * * * *", true], mirrorsite-purge-uploads = ["0 0 1 * *", false] }
    error_message = "Schedules must be configurable one by one."
  }

  assert {
    condition     = contains(local.cron_jobs.purge-uploads.command, "7d") && !contains(keys(local.cron_jobs), "backup-database")
    error_message = "Retention must reach the command, and backups must be optional."
  }

  assert {
    condition     = local.migration.metadata.name == "mirrorsite-migrate-feature-x-2-with-a-v"
    error_message = "Any tag must result in a valid name (${local.migration.metadata.name})."
  }

  assert {
    condition     = local.migration.metadata.annotations == { "helm.sh/hook" = "post-install,post-upgrade", "helm.sh/hook-delete-policy" = "before-hook-creation" }
    error_message = "After a failed migration the same release must migrate again, with a new Job."
  }

  assert {
    condition     = kubernetes_pod_v1.image.timeouts.create == "110s" && toset(kubernetes_pod_v1.image.target_state) == toset(["Running", "Succeeded"]) && kubernetes_pod_v1.image.spec[0].container[0].image == var.image
    error_message = "An image that cannot be pulled must fail the apply within two minutes."
  }

  assert {
    # The provider polls every ten seconds.
    condition     = kubernetes_pod_v1.image.spec[0].active_deadline_seconds + 15 <= tonumber(trimsuffix(kubernetes_pod_v1.image.timeouts.create, "s"))
    error_message = "The pod must fail before the provider's timeout, after which the reason cannot be read."
  }

  assert {
    condition     = kubernetes_pod_v1.image.spec[0].security_context[0].run_as_non_root && kubernetes_pod_v1.image.spec[0].container[0].security_context[0].run_as_non_root
    error_message = "The provider sends false for what is left out, and the namespace refuses that."
  }

  assert {
    condition     = length(local.disruption_budget) == 0
    error_message = "A disruption budget for one pod would block every drain."
  }

  assert {
    condition     = toset([kubernetes_secret_v1.application[0].data_wo_revision, kubernetes_secret_v1.audit[0].data_wo_revision, kubernetes_secret_v1.registry[0].data_wo_revision]) == toset([3]) && local.pod_annotations["mirrorsite/secrets-revision"] == "3"
    error_message = "A new revision must write every Secret and replace the pods."
  }

  assert {
    condition     = local.migration_spec.template.metadata.annotations == local.pod_annotations
    error_message = "A new revision must run the migration again: the database may be another."
  }

  assert {
    condition     = terraform_data.released.input == var.image
    error_message = "The rollback reads the release's image from this resource."
  }

  assert {
    condition     = alltrue([for pod in module.pod : pod.spec.imagePullSecrets == [{ name = "mirrorsite-registry" }]])
    error_message = "Pods must pull with the registry's Secret."
  }

  assert {
    condition     = jsonencode([for rule in local.network_policies[0].spec.ingress : [rule.ports[0].port, try(rule.from[0].namespaceSelector.matchLabels["kubernetes.io/metadata.name"], "any")]]) == jsonencode([[4545, "any"], [9464, "monitoring"]])
    error_message = "4545 must be open, and 9464 to the monitoring namespace only."
  }

  assert {
    condition     = [for rule in local.network_policies[1].spec.egress : rule.ports[0].port] == [53, 4545, 5432, 443] && !can(local.network_policies[1].spec.egress[0].to) && length(local.network_policies[1].spec.egress[2].to) == 1
    error_message = "Pods may resolve names and connect to the web pods and what egress lists."
  }
}

run "as_on_eks" {
  command = plan

  variables {
    secret_key                   = null
    database_url                 = null
    audit_signing_key            = null
    existing_secrets             = { application = "app", audit = "seal" }
    database_ca_bundle           = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    autoscaling                  = { enabled = true, min_replicas = 3, max_replicas = 9 }
    spread                       = { zones = "DoNotSchedule" }
    node_loss_toleration_seconds = 30
    rollout                      = { max_surge = "34%", drain_seconds = 60, minutes = 20 }
  }

  assert {
    condition     = !can(local.web.spec.replicas) && !strcontains(jsonencode(module.release.manifests["Deployment/mirrorsite"]), "replicas")
    error_message = "With an autoscaler the plan must not set the number of pods."
  }

  assert {
    condition     = local.autoscaler[0].spec.minReplicas == 3 && local.autoscaler[0].spec.maxReplicas == 9 && length(local.disruption_budget) == 1
    error_message = "The autoscaler must have the given bounds."
  }

  assert {
    condition     = length(kubernetes_secret_v1.application) == 0 && length(kubernetes_secret_v1.audit) == 0 && module.pod["web"].spec.containers[0].envFrom[1].secretRef.name == "app"
    error_message = "Existing Secrets must be used and not created."
  }

  assert {
    condition     = local.environment.PGSSLROOTCERT == "/etc/mirrorsite/database-ca/ca.pem" && alltrue([for pod in module.pod : contains(pod.spec.containers[0].volumeMounts[*].mountPath, "/etc/mirrorsite/database-ca")])
    error_message = "Every pod must have the database's certificates where libpq reads them."
  }

  assert {
    condition     = { for item in module.pod["web"].spec.topologySpreadConstraints : item.topologyKey => "${item.whenUnsatisfiable} ${item.nodeTaintsPolicy}" } == { "kubernetes.io/hostname" = "ScheduleAnyway Honor", "topology.kubernetes.io/zone" = "DoNotSchedule Honor" }
    error_message = "Each zone must have a pod, except a zone without nodes."
  }

  assert {
    condition     = [for item in module.pod["web"].spec.tolerations : item.tolerationSeconds] == [30, 30] && local.web.spec.strategy.rollingUpdate.maxSurge == "34%" && local.web.spec.progressDeadlineSeconds == 600 && module.pod["web"].spec.terminationGracePeriodSeconds == 105
    error_message = "Tolerations, surge and termination must follow the variables."
  }
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

run "redirects_without_a_proxy_in_another_spelling" {
  command = plan

  variables {
    settings = { HTTPS_ONLY = "1" }
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

run "a_derived_setting" {
  command = plan

  variables {
    settings = { HTTPS_ONLY = "false", BIND = "0.0.0.0:80" }
  }

  expect_failures = [var.settings]
}

run "any_host" {
  command = plan

  variables {
    settings = { HTTPS_ONLY = "false", ALLOWED_HOSTS = "localhost, *" }
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

run "invalid_secrets" {
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
