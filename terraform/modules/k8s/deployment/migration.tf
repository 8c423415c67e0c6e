locals {
  # Readable by the tag, unique by the digest of the whole reference.
  image_tag      = try(regex(":([A-Za-z0-9_.-]+)$", var.image)[0], "digest")
  migration_name = "${var.name}-migrate-${trim(substr(replace(lower(local.image_tag), "/[^a-z0-9]+/", "-"), 0, 20), "-")}-${substr(sha256(var.image), 0, 8)}"
}

# One Job per release, finished before the Deployment changes. Not an init
# container, which every replica would run; and without a time to live, or each
# plan after its end would want to run it again.
resource "kubernetes_job_v1" "migrate" {
  wait_for_completion = true

  metadata {
    name      = local.migration_name
    namespace = var.namespace
    labels    = merge(local.labels, { "app.kubernetes.io/component" = "migrate" })
  }

  spec {
    # Three tries: the database may still be starting at the first.
    backoff_limit           = 2
    active_deadline_seconds = 540

    template {
      metadata {
        labels = merge(local.labels, { "app.kubernetes.io/component" = "migrate" })
      }

      spec {
        service_account_name            = kubernetes_service_account_v1.this.metadata[0].name
        automount_service_account_token = false
        enable_service_links            = false
        restart_policy                  = "Never"

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
          fs_group        = tostring(local.user_id)

          seccomp_profile {
            type = "RuntimeDefault"
          }
        }

        container {
          name              = "migrate"
          image             = var.image
          image_pull_policy = var.image_pull_policy
          command           = ["python", "manage.py", "migrate", "--noinput"]

          env_from {
            config_map_ref {
              name = kubernetes_config_map_v1.this.metadata[0].name
            }
          }

          env_from {
            secret_ref {
              name = local.application_secret_name
            }
          }

          resources {
            requests = { cpu = var.resources.cpu_request, memory = var.resources.memory_request }
            limits   = local.resource_limits
          }

          security_context {
            allow_privilege_escalation = false
            privileged                 = false
            read_only_root_filesystem  = true
            run_as_non_root            = true

            capabilities {
              drop = ["ALL"]
            }
          }

          volume_mount {
            name       = "tmp"
            mount_path = "/tmp"
          }

          dynamic "volume_mount" {
            for_each = kubernetes_config_map_v1.database_ca

            content {
              name       = "database-ca"
              mount_path = local.database_ca_directory
              read_only  = true
            }
          }
        }

        volume {
          name = "tmp"

          empty_dir {
            size_limit = "64Mi"
          }
        }

        dynamic "volume" {
          for_each = kubernetes_config_map_v1.database_ca

          content {
            name = "database-ca"

            config_map {
              name = volume.value.metadata[0].name
            }
          }
        }
      }
    }
  }

  timeouts {
    create = "10m"
    update = "10m"
  }

  depends_on = [
    kubernetes_secret_v1.application,
    kubernetes_network_policy_v1.all,
  ]
}
