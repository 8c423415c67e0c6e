# GitLab's agent. With the chart's default it would administer the cluster; here it has a
# service account that may deploy into the target namespaces and nothing else (rbac.tf).

locals {
  name = "gitlab-agent"
  # The agent should not be newer than the GitLab that it connects to.
  chart_version = "2.26.0"

  namespace = kubernetes_namespace_v1.this.metadata[0].name
  labels = {
    "app.kubernetes.io/name"       = local.name
    "app.kubernetes.io/part-of"    = "mirrorsite"
    "app.kubernetes.io/managed-by" = "terraform"
  }
}

resource "kubernetes_namespace_v1" "this" {
  metadata {
    name = local.name
    labels = merge(local.labels, {
      # The chart's pods seem to comply with "restricted"; enforcing only "baseline" keeps
      # a new version of the chart from stopping the agent.
      "pod-security.kubernetes.io/enforce" = "baseline"
      "pod-security.kubernetes.io/warn"    = "restricted"
    })
  }
}

resource "kubernetes_service_account_v1" "this" {
  #checkov:skip=CKV_K8S_41:The agent works with this account's token.
  metadata {
    name      = local.name
    namespace = local.namespace
    labels    = local.labels
  }
}

resource "kubernetes_secret_v1" "token" {
  type             = "Opaque"
  data_wo_revision = var.token_revision
  data_wo          = { token = var.token }

  metadata {
    name      = "${local.name}-token"
    namespace = local.namespace
    labels    = local.labels
  }
}

resource "helm_release" "this" {
  name       = local.name
  namespace  = local.namespace
  repository = "https://charts.gitlab.io"
  chart      = "gitlab-agent"
  version    = local.chart_version

  # Roll back a release that does not become ready.
  atomic      = true
  max_history = 5

  values = [yamlencode({
    replicas = 1
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
