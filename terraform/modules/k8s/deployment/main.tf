# The service in a cluster: configuration.tf has settings and secrets, pods.tf the pods,
# network.tf the network policies.

locals {
  port         = 4545
  metrics_port = 9464
  user_id      = 10001

  # How long requests may take after SIGTERM.
  graceful_seconds = 25

  labels = {
    "app.kubernetes.io/name"       = var.name
    "app.kubernetes.io/part-of"    = "mirrorsite"
    "app.kubernetes.io/managed-by" = "terraform"
  }
  # A Deployment's selector cannot change.
  selector = { for component in ["web", "sealer"] : component => {
    "app.kubernetes.io/name"      = var.name
    "app.kubernetes.io/component" = component
  } }
  metadata = { for component in concat(["web", "sealer", "migrate", "image"], keys(local.cron_jobs)) : component => {
    namespace = var.namespace
    labels    = merge(local.labels, { "app.kubernetes.io/component" = component })
  } }

  # A change of these replaces the pods. Of the secrets only the revision is known here.
  pod_annotations = {
    "mirrorsite/configuration"    = sha256(jsonencode(local.environment))
    "mirrorsite/secrets-revision" = tostring(var.secrets_revision)
  }

  least_replicas = var.autoscaling.enabled ? var.autoscaling.min_replicas : var.replicas

  web = {
    apiVersion = "apps/v1"
    kind       = "Deployment"
    metadata   = merge(local.metadata.web, { name = var.name, annotations = var.annotations })
    spec = merge(
      # With an autoscaler the release must not set the number of pods.
      { for field, value in { replicas = var.replicas } : field => value if !var.autoscaling.enabled },
      {
        revisionHistoryLimit    = 5
        progressDeadlineSeconds = var.rollout.minutes * 30
        selector                = { matchLabels = local.selector.web }
        strategy = {
          type          = "RollingUpdate"
          rollingUpdate = { maxSurge = try(tonumber(var.rollout.max_surge), var.rollout.max_surge), maxUnavailable = 0 }
        }
        template = {
          metadata = { labels = local.metadata.web.labels, annotations = local.pod_annotations }
          spec     = module.pod["web"].spec
        }
      },
    )
  }

  # One pod seals each minute; the old one terminates before the next starts. A second
  # sealer would wait for the first one's lock in the database.
  sealer = {
    apiVersion = "apps/v1"
    kind       = "Deployment"
    metadata = merge(local.metadata.sealer, {
      name = "${var.name}-sealer"
      annotations = merge(var.annotations, {
        "checkov.io/skip1" = "CKV_K8S_8=It serves nothing; the alert MirrorsiteSealOverdue fires when it hangs"
        "checkov.io/skip2" = "CKV_K8S_9=It serves nothing"
      })
    })
    spec = {
      replicas             = 1
      revisionHistoryLimit = 5
      selector             = { matchLabels = local.selector.sealer }
      strategy             = { type = "Recreate" }
      template = {
        metadata = { labels = local.metadata.sealer.labels, annotations = local.pod_annotations }
        spec     = module.pod["sealer"].spec
      }
    }
  }

  scheduled = [for key, job in local.cron_jobs : {
    apiVersion = "batch/v1"
    kind       = "CronJob"
    metadata   = merge(local.metadata[key], { name = "${var.name}-${key}" })
    spec = {
      schedule                   = coalesce(try(var.cron_jobs[key].schedule, null), job.schedule)
      suspend                    = try(var.cron_jobs[key].suspend, false)
      timeZone                   = "Etc/UTC"
      concurrencyPolicy          = "Forbid"
      startingDeadlineSeconds    = 120
      successfulJobsHistoryLimit = 1
      failedJobsHistoryLimit     = 3
      jobTemplate = {
        metadata = { labels = local.metadata[key].labels }
        spec = {
          # The next run is the retry.
          backoffLimit          = 0
          activeDeadlineSeconds = job.deadline
          template              = { metadata = { labels = local.metadata[key].labels }, spec = module.pod[key].spec }
        }
      }
    }
  }]

  # With a single pod a disruption budget would block every drain of its node.
  disruption_budget = local.least_replicas < 2 ? [] : [{
    apiVersion = "policy/v1"
    kind       = "PodDisruptionBudget"
    metadata   = merge(local.metadata.web, { name = var.name })
    spec       = { maxUnavailable = 1, selector = { matchLabels = local.selector.web } }
  }]

  autoscaler = !var.autoscaling.enabled ? [] : [{
    apiVersion = "autoscaling/v2"
    kind       = "HorizontalPodAutoscaler"
    metadata   = merge(local.metadata.web, { name = var.name })
    spec = {
      minReplicas    = var.autoscaling.min_replicas
      maxReplicas    = var.autoscaling.max_replicas
      scaleTargetRef = { apiVersion = "apps/v1", kind = "Deployment", name = var.name }
      metrics = [{
        type     = "Resource"
        resource = { name = "cpu", target = { type = "Utilization", averageUtilization = var.autoscaling.target_percent } }
      }]
    }
  }]

  migration_spec = {
    # Three attempts: the database may still be starting.
    backoffLimit          = 2
    activeDeadlineSeconds = 540
    # Helm does not delete it with its release; its logs remain for a week.
    ttlSecondsAfterFinished = 604800
    # The annotations, because a new DATABASE_URL may be that of an empty database.
    template = {
      metadata = { labels = local.metadata.migrate.labels, annotations = local.pod_annotations }
      spec     = module.pod["migrate"].spec
    }
  }
  # After the network policies, without which it cannot reach the database. As a hook it is
  # created again by each apply of the release: Helm would not repeat a failed Job.
  migration = {
    apiVersion = "batch/v1"
    kind       = "Job"
    metadata = merge(local.metadata.migrate, {
      name = "${var.name}-migrate-${local.readable_tag}"
      annotations = {
        "helm.sh/hook"               = "post-install,post-upgrade"
        "helm.sh/hook-delete-policy" = "before-hook-creation"
      }
    })
    spec = local.migration_spec
  }
  image_tag    = try(regex(":([A-Za-z0-9_.-]+)$", split("@", var.image)[0])[0], "digest")
  readable_tag = trim(substr(replace(lower(local.image_tag), "/[^a-z0-9]+/", "-"), 0, 20), "-")
}

# Checks that nodes can pull the image: an apply fails here within two minutes, with the
# kubelet's reason, before anything of the running release is changed.
resource "kubernetes_pod_v1" "image" {
  #checkov:skip=CKV_K8S_8:It exits immediately.
  #checkov:skip=CKV_K8S_9:It exits immediately.
  #checkov:skip=CKV_K8S_14:The variable refuses an image without a tag and the tag latest.
  #checkov:skip=CKV_K8S_15:Always pulling would break Minikube's loaded images, and tags never move.
  #checkov:skip=CKV_K8S_43:The pipeline deploys by digest; Minikube's images have none.
  # Running suffices, as it shows that the image was pulled; the provider accepts no third state.
  target_state = ["Running", "Succeeded"]

  metadata {
    name      = "${var.name}-image-${local.readable_tag}-${substr(sha256(var.image), 0, 8)}"
    namespace = var.namespace
    labels    = local.metadata.image.labels
  }

  spec {
    service_account_name            = kubernetes_service_account_v1.this.metadata[0].name
    automount_service_account_token = false
    enable_service_links            = false
    restart_policy                  = "Never"
    # The pod must fail before the timeout below: once that has passed, the provider can no
    # longer read the events that give the reason.
    active_deadline_seconds = 90

    dynamic "image_pull_secrets" {
      for_each = local.pull_secret_names

      content {
        name = image_pull_secrets.value
      }
    }

    security_context {
      run_as_non_root = true
      run_as_user     = tostring(local.user_id)
      run_as_group    = tostring(local.user_id)

      seccomp_profile {
        type = "RuntimeDefault"
      }
    }

    container {
      name              = "image"
      image             = var.image
      image_pull_policy = var.image_pull_policy
      command           = ["true"]

      resources {
        requests = { cpu = "10m", memory = "16Mi" }
        limits   = { cpu = "100m", memory = "64Mi" }
      }

      security_context {
        allow_privilege_escalation = false
        read_only_root_filesystem  = true
        # Left out, the provider would send false, which the namespace refuses.
        run_as_non_root = true

        capabilities {
          drop = ["ALL"]
        }
      }
    }
  }

  timeouts {
    create = "110s"
  }

  lifecycle {
    # The name depends on the image; no other change is a reason to pull it again.
    ignore_changes = [spec]
  }
}

# One Job per release, complete before the pods change.
module "migration" {
  source = "../manifests"

  name      = "${var.name}-migration"
  namespace = var.namespace
  manifests = concat(local.network_policies, [local.migration])

  depends_on = [
    kubernetes_pod_v1.image,
    kubernetes_config_map_v1.this,
    kubernetes_config_map_v1.database_ca,
    kubernetes_secret_v1.application,
  ]
}

module "release" {
  source = "../manifests"

  name            = var.name
  namespace       = var.namespace
  manifests       = concat([local.web, local.sealer], local.scheduled, local.disruption_budget, local.autoscaler)
  timeout_seconds = var.rollout.minutes * 60

  depends_on = [module.migration, kubernetes_secret_v1.audit]
}

# The image of the last release that succeeded. An output with the value of var.image would
# change even if the release fails.
resource "terraform_data" "released" {
  input      = var.image
  depends_on = [module.release]
}
