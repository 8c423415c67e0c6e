# The web pods. Beside this file: configuration.tf (what they are told),
# migration.tf (before each release), cron_jobs.tf, network.tf, scaling.tf.

locals {
  port         = 4545
  metrics_port = 9464
  user_id      = 10001

  labels = {
    "app.kubernetes.io/name"       = var.name
    "app.kubernetes.io/part-of"    = "mirrorsite"
    "app.kubernetes.io/managed-by" = "terraform"
  }
  # Never changes: a Deployment's selector cannot.
  web_selector = {
    "app.kubernetes.io/name"      = var.name
    "app.kubernetes.io/component" = "web"
  }

  # The kubelet would send the pod's address as Host, which the service refuses.
  probe_host = var.service_name

  # A template of a pod that changes is a rollout. Of the secrets only the
  # revision is known here.
  pod_annotations = {
    "mirrorsite/configuration"    = sha256(jsonencode(local.environment))
    "mirrorsite/secrets-revision" = tostring(var.secrets_revision)
  }

  resource_limits = { for name, quantity in {
    cpu    = var.resources.cpu_limit
    memory = var.resources.memory_limit
  } : name => quantity if quantity != null }
}

resource "kubernetes_deployment_v1" "this" {
  #checkov:skip=CKV_K8S_11:A CPU limit throttles requests even on an idle node; memory is limited, and cpu_limit sets one where it is wanted.
  #checkov:skip=CKV_K8S_10:Set below; checkov cannot evaluate the variable, the tests can.
  #checkov:skip=CKV_K8S_12:Set below; checkov cannot evaluate the local, the tests can.
  #checkov:skip=CKV_K8S_13:Set below; checkov cannot evaluate the variable, the tests can.
  #checkov:skip=CKV_K8S_14:The variable refuses an image without a tag and the tag latest.
  #checkov:skip=CKV_K8S_15:Always pulling would break Minikube's loaded images and buys nothing where tags are never moved.
  #checkov:skip=CKV_K8S_43:The pipeline deploys by commit tag; a digest can be given as the image.
  wait_for_rollout = var.wait_for_rollout

  metadata {
    name        = var.name
    namespace   = var.namespace
    annotations = var.annotations
    labels      = merge(local.labels, { "app.kubernetes.io/component" = "web" })
  }

  spec {
    # Left to the autoscaler where there is one, or each apply would undo its work.
    replicas               = var.autoscaling.enabled ? null : tostring(var.replicas)
    revision_history_limit = 5
    # Half of what the apply waits: a rollout that hangs is then told as such.
    progress_deadline_seconds = var.rollout.minutes * 30

    selector {
      match_labels = local.web_selector
    }

    strategy {
      type = "RollingUpdate"

      rolling_update {
        max_surge       = var.rollout.max_surge
        max_unavailable = "0"
      }
    }

    template {
      metadata {
        labels      = merge(local.labels, local.web_selector)
        annotations = local.pod_annotations
      }

      spec {
        service_account_name            = kubernetes_service_account_v1.this.metadata[0].name
        automount_service_account_token = false
        # Else every Service of the namespace appears in the environment, one of
        # them under names this service could take for settings.
        enable_service_links = false
        # preStop counts against it, then gunicorn's graceful 30 s.
        termination_grace_period_seconds = var.rollout.drain_seconds + 45

        dynamic "image_pull_secrets" {
          for_each = local.pull_secret_names

          content {
            name = image_pull_secrets.value
          }
        }

        security_context {
          run_as_non_root        = true
          run_as_user            = tostring(local.user_id)
          run_as_group           = tostring(local.user_id)
          fs_group               = tostring(local.user_id)
          fs_group_change_policy = "OnRootMismatch"

          seccomp_profile {
            type = "RuntimeDefault"
          }
        }

        dynamic "topology_spread_constraint" {
          for_each = {
            "kubernetes.io/hostname"      = var.spread.nodes
            "topology.kubernetes.io/zone" = var.spread.zones
          }

          content {
            max_skew           = 1
            topology_key       = topology_spread_constraint.key
            when_unsatisfiable = topology_spread_constraint.value
            # A zone all of whose nodes are lost is no zone to wait for: its pods go to
            # the others.
            node_taints_policy = "Honor"
            # Pods of the outgoing release do not count.
            match_label_keys = ["pod-template-hash"]

            label_selector {
              match_labels = local.web_selector
            }
          }
        }

        dynamic "toleration" {
          for_each = var.node_loss_toleration_seconds == null ? [] : ["not-ready", "unreachable"]

          content {
            key                = "node.kubernetes.io/${toleration.value}"
            operator           = "Exists"
            effect             = "NoExecute"
            toleration_seconds = tostring(var.node_loss_toleration_seconds)
          }
        }

        container {
          name              = "web"
          image             = var.image
          image_pull_policy = var.image_pull_policy

          port {
            name           = "http"
            container_port = local.port
            protocol       = "TCP"
          }

          port {
            name           = "metrics"
            container_port = local.metrics_port
            protocol       = "TCP"
          }

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

          # Up to a minute to start; only then do the other two begin.
          startup_probe {
            period_seconds    = 2
            timeout_seconds   = 2
            failure_threshold = 30

            http_get {
              path = "/api/health"
              port = tostring(local.port)

              http_header {
                name  = "Host"
                value = local.probe_host
              }
            }
          }

          # Neither database nor bucket: their failure is no reason to restart.
          liveness_probe {
            period_seconds    = 10
            timeout_seconds   = 3
            failure_threshold = 3

            http_get {
              path = "/api/health"
              port = tostring(local.port)

              http_header {
                name  = "Host"
                value = local.probe_host
              }
            }
          }

          readiness_probe {
            period_seconds    = 5
            timeout_seconds   = 4
            failure_threshold = 3

            http_get {
              path = "/api/ready"
              port = tostring(local.port)

              http_header {
                name  = "Host"
                value = local.probe_host
              }
            }
          }

          lifecycle {
            # Load balancers go on sending requests for a while after the pod was
            # told to end. The provider has no sleep action, hence the command.
            pre_stop {
              exec {
                command = ["sleep", tostring(var.rollout.drain_seconds)]
              }
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

          volume_mount {
            name       = "shm"
            mount_path = "/dev/shm"
          }
        }

        volume {
          name = "tmp"

          empty_dir {
            size_limit = "256Mi"
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

        # gunicorn's heartbeat files: on a disk they can stall a worker.
        volume {
          name = "shm"

          empty_dir {
            medium     = "Memory"
            size_limit = "64Mi"
          }
        }
      }
    }
  }

  timeouts {
    create = "${var.rollout.minutes}m"
    update = "${var.rollout.minutes}m"
  }

  lifecycle {
    # Reloader's mark on the pods that it rolled is not ours to take off: that would
    # roll them once more. The provider's ignore_annotations does not reach a template:
    # https://github.com/hashicorp/terraform-provider-kubernetes/issues/2668
    ignore_changes = [spec[0].template[0].metadata[0].annotations["reloader.stakater.com/last-reloaded-from"]]
  }

  # No pod of a release starts before its migrations are done.
  depends_on = [
    kubernetes_job_v1.migrate,
    kubernetes_network_policy_v1.web,
    kubernetes_network_policy_v1.all,
  ]
}
