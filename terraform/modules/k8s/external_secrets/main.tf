# Copies secrets from AWS Secrets Manager to Secrets of the cluster, by the External
# Secrets Operator. Its objects are a Helm release, because kubernetes_manifest needs
# their types, which the operator installs, at plan time.

locals {
  store = "${var.namespace}-secrets-manager"

  manifests = concat(
    [{
      apiVersion = "external-secrets.io/v1"
      kind       = "SecretStore"
      metadata   = { name = local.store, namespace = var.namespace }
      # No credentials: the operator has a role by Pod Identity.
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
          # A Secret that cannot be refreshed is kept, so that pods can start.
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

  # Two webhook pods, so that a drain blocks nothing.
  values = [yamlencode({
    installCRDs  = true
    replicaCount = 2
    leaderElect  = true
    webhook      = { replicaCount = 2, podDisruptionBudget = { enabled = true, minAvailable = 1 } }
    # No cluster-wide stores or secrets.
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

  # In its own namespace: the service's has no route to the cluster's API.
  values = [yamlencode({
    reloader = {
      watchGlobally     = true
      namespaceSelector = "kubernetes.io/metadata.name=${var.namespace}"
      ignoreConfigMaps  = true
      reloadStrategy    = "annotations"
    }
  })]
}
