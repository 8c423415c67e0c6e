resource "kubernetes_secret_v1" "postgres" {
  count = var.postgres == null ? 0 : 1

  type             = "Opaque"
  data_wo_revision = var.secrets_revision
  data_wo          = { POSTGRES_PASSWORD = var.postgres_password }

  metadata {
    name      = local.postgres_name
    namespace = var.namespace
    labels    = merge(local.labels, local.postgres_selector)
  }
}

resource "kubernetes_service_v1" "postgres" {
  count = var.postgres == null ? 0 : 1

  metadata {
    name      = local.postgres_name
    namespace = var.namespace
    labels    = merge(local.labels, local.postgres_selector)
  }

  spec {
    type       = "ClusterIP"
    cluster_ip = "None"
    selector   = local.postgres_selector

    port {
      name        = "postgres"
      protocol    = "TCP"
      port        = local.postgres_port
      target_port = tostring(local.postgres_port)
    }
  }
}

resource "kubernetes_network_policy_v1" "postgres" {
  count = var.postgres == null ? 0 : 1

  metadata {
    name      = local.postgres_name
    namespace = var.namespace
    labels    = merge(local.labels, local.postgres_selector)
  }

  spec {
    policy_types = ["Ingress"]

    pod_selector {
      match_labels = local.postgres_selector
    }

    ingress {
      ports {
        protocol = "TCP"
        port     = tostring(local.postgres_port)
      }

      from {
        pod_selector {
          match_labels = var.client_labels
        }
      }
    }
  }
}

resource "kubernetes_stateful_set_v1" "postgres" {
  count = var.postgres == null ? 0 : 1

  metadata {
    name      = local.postgres_name
    namespace = var.namespace
    labels    = merge(local.labels, local.postgres_selector)
  }

  spec {
    service_name = local.postgres_name
    replicas     = "1"

    selector {
      match_labels = local.postgres_selector
    }

    template {
      metadata {
        labels      = merge(local.labels, local.postgres_selector)
        annotations = { "mirrorsite/secrets-revision" = tostring(var.secrets_revision) }
      }

      spec {
        automount_service_account_token  = false
        enable_service_links             = false
        termination_grace_period_seconds = 60

        security_context {
          run_as_non_root        = true
          run_as_user            = tostring(var.postgres.user_id)
          run_as_group           = tostring(var.postgres.user_id)
          fs_group               = tostring(var.postgres.user_id)
          fs_group_change_policy = "OnRootMismatch"

          seccomp_profile {
            type = "RuntimeDefault"
          }
        }

        container {
          name  = "postgres"
          image = var.postgres.image

          port {
            name           = "postgres"
            container_port = local.postgres_port
            protocol       = "TCP"
          }

          env {
            name  = "POSTGRES_DB"
            value = var.postgres.database
          }

          env {
            name  = "POSTGRES_USER"
            value = var.postgres.username
          }

          env {
            name = "POSTGRES_PASSWORD"

            value_from {
              secret_key_ref {
                name = kubernetes_secret_v1.postgres[0].metadata[0].name
                key  = "POSTGRES_PASSWORD"
              }
            }
          }

          # Without the images' default of trusting whoever connects locally.
          env {
            name  = "POSTGRES_INITDB_ARGS"
            value = "--auth=scram-sha-256 --data-checksums"
          }

          # Below the mount point: a volume's own root may hold a lost+found,
          # which initdb refuses, and is not the user's to restrict.
          env {
            name  = "PGDATA"
            value = "/var/lib/postgresql/pgdata"
          }

          resources {
            requests = { cpu = "100m", memory = var.postgres.memory_request }
            limits   = { memory = var.postgres.memory_limit }
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

          # Over TCP, where the server that only initialises the volume does not listen.
          startup_probe {
            period_seconds    = 2
            timeout_seconds   = 3
            failure_threshold = 60

            exec {
              command = ["pg_isready", "--host=127.0.0.1", "--username=${var.postgres.username}", "--dbname=${var.postgres.database}"]
            }
          }

          liveness_probe {
            period_seconds    = 10
            timeout_seconds   = 5
            failure_threshold = 6

            exec {
              command = ["pg_isready", "--host=127.0.0.1", "--username=${var.postgres.username}", "--dbname=${var.postgres.database}"]
            }
          }

          readiness_probe {
            period_seconds    = 5
            timeout_seconds   = 5
            failure_threshold = 2

            exec {
              command = ["pg_isready", "--host=127.0.0.1", "--username=${var.postgres.username}", "--dbname=${var.postgres.database}"]
            }
          }

          volume_mount {
            name       = "data"
            mount_path = "/var/lib/postgresql"
          }

          volume_mount {
            name       = "run"
            mount_path = "/var/run/postgresql"
          }

          volume_mount {
            name       = "tmp"
            mount_path = "/tmp"
          }

          volume_mount {
            name       = "shm"
            mount_path = "/dev/shm"
          }
        }

        volume {
          name = "run"

          empty_dir {}
        }

        volume {
          name = "tmp"

          empty_dir {}
        }

        volume {
          name = "shm"

          empty_dir {
            medium     = "Memory"
            size_limit = "128Mi"
          }
        }
      }
    }

    volume_claim_template {
      metadata {
        name = "data"
      }

      spec {
        access_modes       = ["ReadWriteOnce"]
        storage_class_name = var.storage_class_name

        resources {
          requests = { storage = var.postgres.storage }
        }
      }
    }
  }
}
