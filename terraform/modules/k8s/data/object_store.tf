resource "kubernetes_secret_v1" "object_store" {
  count = var.object_store == null ? 0 : 1

  type             = "Opaque"
  data_wo_revision = var.secrets_revision
  data_wo = {
    AWS_ACCESS_KEY_ID     = var.object_store_access_key
    AWS_SECRET_ACCESS_KEY = var.object_store_secret_key
  }

  metadata {
    name      = local.object_store_name
    namespace = var.namespace
    labels    = merge(local.labels, local.object_store_selector)
  }
}

resource "kubernetes_service_v1" "object_store" {
  count = var.object_store == null ? 0 : 1

  metadata {
    name      = local.object_store_name
    namespace = var.namespace
    labels    = merge(local.labels, local.object_store_selector)
  }

  spec {
    type     = "ClusterIP"
    selector = local.object_store_selector

    port {
      name        = "s3"
      protocol    = "TCP"
      port        = local.object_store_port
      target_port = tostring(local.object_store_port)
    }
  }
}

# The store's inner ports know no passwords: only the S3 port is opened, and only
# to the service.
resource "kubernetes_network_policy_v1" "object_store" {
  count = var.object_store == null ? 0 : 1

  metadata {
    name      = local.object_store_name
    namespace = var.namespace
    labels    = merge(local.labels, local.object_store_selector)
  }

  spec {
    policy_types = ["Ingress"]

    pod_selector {
      match_labels = local.object_store_selector
    }

    ingress {
      ports {
        protocol = "TCP"
        port     = tostring(local.object_store_port)
      }

      from {
        pod_selector {
          match_labels = var.client_labels
        }
      }
    }
  }
}

resource "kubernetes_stateful_set_v1" "object_store" {
  count = var.object_store == null ? 0 : 1

  metadata {
    name      = local.object_store_name
    namespace = var.namespace
    labels    = merge(local.labels, local.object_store_selector)
  }

  spec {
    service_name = local.object_store_name
    replicas     = "1"

    selector {
      match_labels = local.object_store_selector
    }

    template {
      metadata {
        labels      = merge(local.labels, local.object_store_selector)
        annotations = { "mirrorsite/secrets-revision" = tostring(var.secrets_revision) }
      }

      spec {
        automount_service_account_token  = false
        enable_service_links             = false
        termination_grace_period_seconds = 60

        security_context {
          run_as_non_root        = true
          run_as_user            = tostring(var.object_store.user_id)
          run_as_group           = tostring(var.object_store.user_id)
          fs_group               = tostring(var.object_store.user_id)
          fs_group_change_policy = "OnRootMismatch"

          seccomp_profile {
            type = "RuntimeDefault"
          }
        }

        container {
          name  = "store"
          image = var.object_store.image
          # Past the image's entry point, which wants to be root first.
          command = ["weed"]
          args = [
            "mini",
            "-dir=/data",
            # The parts of the store talk to each other on the loopback.
            "-ip=127.0.0.1",
            "-ip.bind=0.0.0.0",
            "-s3.port=${local.object_store_port}",
            "-bucket=${var.object_store.bucket_name}",
            # A misspelt bucket must fail and not be made.
            "-s3.autoCreateBucket=false",
            "-s3.allowDeleteBucketNotEmpty=false",
            # The filer's own HTTP door would let anybody past the S3 one.
            "-disableHttp",
            "-admin.ui=false",
            "-webdav=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-master.telemetry=false",
          ]

          port {
            name           = "s3"
            container_port = local.object_store_port
            protocol       = "TCP"
          }

          env_from {
            secret_ref {
              name = kubernetes_secret_v1.object_store[0].metadata[0].name
            }
          }

          resources {
            requests = { cpu = "100m", memory = var.object_store.memory_request }
            limits   = { memory = var.object_store.memory_limit }
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

          startup_probe {
            period_seconds    = 2
            timeout_seconds   = 3
            failure_threshold = 60

            http_get {
              path = "/healthz"
              port = tostring(local.object_store_port)
            }
          }

          liveness_probe {
            period_seconds    = 10
            timeout_seconds   = 5
            failure_threshold = 6

            http_get {
              path = "/healthz"
              port = tostring(local.object_store_port)
            }
          }

          readiness_probe {
            period_seconds    = 5
            timeout_seconds   = 5
            failure_threshold = 2

            http_get {
              path = "/healthz"
              port = tostring(local.object_store_port)
            }
          }

          volume_mount {
            name       = "data"
            mount_path = "/data"
          }

          volume_mount {
            name       = "tmp"
            mount_path = "/tmp"
          }
        }

        volume {
          name = "tmp"

          empty_dir {}
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
          requests = { storage = var.object_store.storage }
        }
      }
    }
  }
}
