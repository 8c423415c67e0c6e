# What runs often looks at what is recent: the record only grows, and with it the time
# that all of it takes (docs/scaling.md). The whole is looked at weekly and monthly.

locals {
  cron_jobs = {
    seal-audit = {
      schedule = "* * * * *"
      command  = ["seal_audit"]
      deadline = 300
    }
    reconcile-uploads = {
      schedule = "*/10 * * * *"
      command  = ["reconcile_uploads", "--fix", "--min-age", "15m", "--since", "1d"]
      deadline = 3600
    }
    reconcile-all-uploads = {
      schedule = "23 1 * * 0"
      command  = ["reconcile_uploads", "--fix", "--min-age", "15m"]
      deadline = 86400
    }
    purge-uploads = {
      schedule = "17 3 * * *"
      command  = ["purge_uploads", "--older-than", "${var.purge_after_days}d", "--yes"]
      deadline = 21600
    }
    verify-audit = {
      schedule = "47 4 * * *"
      command  = ["verify_audit", "--since", "2d"]
      deadline = 14400
    }
    verify-whole-audit = {
      schedule = "47 5 2 * *"
      command  = ["verify_audit"]
      deadline = 172800
    }
    canary = {
      schedule = "*/15 * * * *"
      command  = ["canary", "--base-url", coalesce(var.canary_base_url, "http://${var.service_name}")]
      deadline = 300
    }
  }
}

resource "kubernetes_cron_job_v1" "this" {
  for_each = local.cron_jobs

  metadata {
    name      = "${var.name}-${each.key}"
    namespace = var.namespace
    labels    = merge(local.labels, { "app.kubernetes.io/component" = each.key })
  }

  spec {
    schedule                      = coalesce(try(var.cron_jobs[each.key].schedule, null), each.value.schedule)
    suspend                       = try(var.cron_jobs[each.key].suspend, false)
    timezone                      = "Etc/UTC"
    concurrency_policy            = "Forbid"
    starting_deadline_seconds     = 120
    successful_jobs_history_limit = 1
    failed_jobs_history_limit     = 3

    job_template {
      metadata {
        labels = merge(local.labels, { "app.kubernetes.io/component" = each.key })
      }

      spec {
        # The next run is the second try.
        backoff_limit           = 0
        active_deadline_seconds = each.value.deadline

        template {
          metadata {
            labels = merge(local.labels, { "app.kubernetes.io/component" = each.key })
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
              name              = each.key
              image             = var.image
              image_pull_policy = var.image_pull_policy
              command           = concat(["python", "manage.py"], each.value.command)

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

              # Whoever seals signs; nobody else has the key.
              dynamic "env" {
                for_each = each.key == "seal-audit" ? [local.audit_secret_name] : []

                content {
                  name = "AUDIT_SIGNING_KEY"

                  value_from {
                    secret_key_ref {
                      name = env.value
                      key  = "AUDIT_SIGNING_KEY"
                    }
                  }
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
    }
  }

  # A job of the new image must not meet the tables of the old one.
  depends_on = [
    kubernetes_job_v1.migrate,
    kubernetes_network_policy_v1.all,
    kubernetes_secret_v1.audit,
  ]
}
