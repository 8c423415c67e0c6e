# What the agent itself needs: its pods elect a leader.
resource "kubernetes_role_v1" "own" {
  metadata {
    name      = local.name
    namespace = local.namespace
    labels    = local.labels
  }

  rule {
    api_groups = ["coordination.k8s.io"]
    resources  = ["leases"]
    verbs      = ["create", "get", "list", "update", "watch"]
  }

  rule {
    api_groups = [""]
    resources  = ["events"]
    verbs      = ["create", "patch"]
  }
}

resource "kubernetes_role_binding_v1" "own" {
  metadata {
    name      = local.name
    namespace = local.namespace
    labels    = local.labels
  }

  role_ref {
    api_group = "rbac.authorization.k8s.io"
    kind      = "Role"
    name      = kubernetes_role_v1.own.metadata[0].name
  }

  subject {
    kind      = "ServiceAccount"
    name      = kubernetes_service_account_v1.this.metadata[0].name
    namespace = local.namespace
  }
}

# What Terraform and Helm change in each target namespace when a pipeline runs them. Not
# roles and bindings: whoever may change those could grant itself any other right.
resource "kubernetes_role_v1" "deployer" {
  for_each = toset(var.target_namespaces)

  metadata {
    name      = "${local.name}-deployer"
    namespace = each.value
    labels    = local.labels
  }

  dynamic "rule" {
    for_each = {
      # The image check is a pod. Neither exec nor attach.
      ""                  = ["configmaps", "persistentvolumeclaims", "pods", "secrets", "serviceaccounts", "services"]
      "apps"              = ["deployments", "statefulsets"]
      "autoscaling"       = ["horizontalpodautoscalers"]
      "batch"             = ["cronjobs", "jobs"]
      "networking.k8s.io" = ["networkpolicies"]
      "policy"            = ["poddisruptionbudgets"]
    }

    content {
      api_groups = [rule.key]
      resources  = rule.value
      verbs      = ["create", "delete", "get", "list", "patch", "update", "watch"]
    }
  }

  # To find out why a rollout fails.
  rule {
    api_groups = ["", "apps"]
    resources  = ["events", "pods/log", "replicasets"]
    verbs      = ["get", "list", "watch"]
  }
}

resource "kubernetes_role_binding_v1" "deployer" {
  for_each = toset(var.target_namespaces)

  metadata {
    name      = "${local.name}-deployer"
    namespace = each.value
    labels    = local.labels
  }

  role_ref {
    api_group = "rbac.authorization.k8s.io"
    kind      = "Role"
    name      = kubernetes_role_v1.deployer[each.key].metadata[0].name
  }

  subject {
    kind      = "ServiceAccount"
    name      = kubernetes_service_account_v1.this.metadata[0].name
    namespace = local.namespace
  }
}
