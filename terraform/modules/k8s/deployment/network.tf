# The namespace denies everything by default; these are the exceptions.

resource "kubernetes_network_policy_v1" "web" {
  metadata {
    name      = "${var.name}-web"
    namespace = var.namespace
    labels    = local.labels
  }

  spec {
    policy_types = ["Ingress"]

    pod_selector {
      match_labels = local.web_selector
    }

    # From anywhere: whom the load balancer lets in is said at the Service.
    ingress {
      ports {
        protocol = "TCP"
        port     = tostring(local.port)
      }
    }

    dynamic "ingress" {
      for_each = var.metrics_namespace == null ? [] : [var.metrics_namespace]

      content {
        ports {
          protocol = "TCP"
          port     = tostring(local.metrics_port)
        }

        from {
          namespace_selector {
            match_labels = { "kubernetes.io/metadata.name" = ingress.value }
          }
        }
      }
    }
  }
}

resource "kubernetes_network_policy_v1" "all" {
  metadata {
    name      = "${var.name}-egress"
    namespace = var.namespace
    labels    = local.labels
  }

  spec {
    policy_types = ["Egress"]

    pod_selector {
      match_labels = { "app.kubernetes.io/name" = var.name }
    }

    # To any address: a node-local cache of names is no pod.
    egress {
      dynamic "ports" {
        for_each = ["UDP", "TCP"]

        content {
          protocol = ports.value
          port     = "53"
        }
      }
    }

    # The canary, through the Service.
    egress {
      ports {
        protocol = "TCP"
        port     = tostring(local.port)
      }

      to {
        pod_selector {
          match_labels = local.web_selector
        }
      }
    }

    dynamic "egress" {
      for_each = var.egress

      content {
        dynamic "ports" {
          for_each = egress.value.ports

          content {
            protocol = "TCP"
            port     = tostring(ports.value)
          }
        }

        dynamic "to" {
          for_each = egress.value.cidrs

          content {
            ip_block {
              cidr = to.value
            }
          }
        }

        dynamic "to" {
          for_each = length(egress.value.pod_labels) > 0 ? [egress.value.pod_labels] : []

          content {
            pod_selector {
              match_labels = to.value
            }
          }
        }
      }
    }
  }
}
