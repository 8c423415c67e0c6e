# GitLab's agent. The chart would make it administrator of the cluster; here it
# gets a service account of its own that may deploy into the target namespaces
# and nothing else. rbac.tf holds its rights.

locals {
  labels = {
    "app.kubernetes.io/name"       = var.name
    "app.kubernetes.io/part-of"    = "mirrorsite"
    "app.kubernetes.io/managed-by" = "terraform"
  }
}

resource "kubernetes_namespace_v1" "this" {
  metadata {
    name = var.name
    labels = merge(local.labels, {
      # The chart's pods keep the restricted rules as far as seen; only the
      # weaker ones are enforced, so that a new chart does not stop the agent.
      "pod-security.kubernetes.io/enforce" = "baseline"
      "pod-security.kubernetes.io/warn"    = "restricted"
    })
  }
}

resource "kubernetes_service_account_v1" "this" {
  #checkov:skip=CKV_K8S_41:This account exists to have a token: the agent works with it.
  metadata {
    name      = var.name
    namespace = kubernetes_namespace_v1.this.metadata[0].name
    labels    = local.labels
  }
}

resource "kubernetes_secret_v1" "token" {
  type             = "Opaque"
  data_wo_revision = var.token_revision
  data_wo          = { token = var.token }

  metadata {
    name      = "${var.name}-token"
    namespace = kubernetes_namespace_v1.this.metadata[0].name
    labels    = local.labels
  }
}

resource "helm_release" "this" {
  name       = var.name
  namespace  = kubernetes_namespace_v1.this.metadata[0].name
  repository = "https://charts.gitlab.io"
  chart      = "gitlab-agent"
  version    = var.chart_version

  # A release that does not come up is taken back.
  atomic      = true
  max_history = 5

  values = [yamlencode({
    replicas = var.replicas
    config = {
      kasAddress = var.kas_address
      secretName = kubernetes_secret_v1.token.metadata[0].name
    }
    rbac           = { create = false }
    serviceAccount = { create = false, name = kubernetes_service_account_v1.this.metadata[0].name }
    podAnnotations = { "mirrorsite/token-revision" = tostring(var.token_revision) }
    resources = {
      requests = { cpu = "50m", memory = "128Mi" }
      limits   = { memory = "256Mi" }
    }
  })]

  depends_on = [
    kubernetes_role_binding_v1.own,
    kubernetes_role_binding_v1.deployer,
  ]
}
