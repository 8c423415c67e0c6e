# Secrets of AWS Secrets Manager as Secrets of the cluster, kept by the External Secrets
# Operator. Its objects are a small chart of ours and not kubernetes_manifest, which
# asks the cluster for their types while planning: the operator, which brings the
# types, would then have to be there before the first plan.

locals {
  store = "${var.namespace}-secrets-manager"

  manifests = concat(
    [{
      apiVersion = "external-secrets.io/v1"
      kind       = "SecretStore"
      metadata   = { name = local.store, namespace = var.namespace }
      # No credentials: the operator has a role of its own by Pod Identity.
      spec = { provider = { aws = { service = "SecretsManager", region = var.region } } }
    }],
    [for name, secret in var.secrets : {
      apiVersion = "external-secrets.io/v1"
      kind       = "ExternalSecret"
      metadata   = { name = name, namespace = var.namespace }
      spec = {
        refreshInterval = var.refresh_interval
        secretStoreRef  = { kind = "SecretStore", name = local.store }
        target = {
          name = name
          # A Secret that cannot be refreshed stays as it is: pods go on starting.
          creationPolicy = "Owner"
          deletionPolicy = "Retain"
          template       = { type = "Opaque", data = secret.template }
        }
        dataFrom = [for arn in values(secret.from) : { extract = { key = arn } }]
      }
    }],
  )
}

resource "helm_release" "operator" {
  name             = "external-secrets"
  namespace        = "external-secrets"
  create_namespace = true
  repository       = "https://charts.external-secrets.io"
  chart            = "external-secrets"
  version          = var.chart_version
  atomic           = true
  wait             = true
  max_history      = 5

  # Two of what answers the cluster's questions, so that a drain blocks nothing.
  values = [yamlencode({
    installCRDs  = true
    replicaCount = 2
    leaderElect  = true
    webhook      = { replicaCount = 2, podDisruptionBudget = { enabled = true, minAvailable = 1 } }
    # Stores and secrets of single namespaces only.
    processClusterStore          = false
    processClusterExternalSecret = false
    processPushSecret            = false
  })]
}

module "secrets" {
  source = "../manifests"

  name       = "mirrorsite-secrets"
  namespace  = var.namespace
  manifests  = local.manifests
  depends_on = [helm_release.operator]
}

resource "helm_release" "reloader" {
  count = var.reloader_chart_version == null ? 0 : 1

  name             = "reloader"
  namespace        = "reloader"
  create_namespace = true
  repository       = "https://stakater.github.io/stakater-charts"
  chart            = "reloader"
  version          = var.reloader_chart_version
  atomic           = true
  max_history      = 5

  # In a namespace of its own: the service's lets nobody reach the cluster's API.
  values = [yamlencode({
    reloader = {
      watchGlobally     = true
      namespaceSelector = "kubernetes.io/metadata.name=${var.namespace}"
      ignoreConfigMaps  = true
      reloadStrategy    = "annotations"
    }
  })]
}
