locals {
  environment = merge(
    {
      HTTPS_ONLY      = "true"
      WEB_CONCURRENCY = "2"
      WEB_THREADS     = "6"
    },
    var.settings,
    { for name, value in {
      # The Service's names, for probes and the canary, before the public ones.
      ALLOWED_HOSTS = join(",", distinct(compact(concat(
        [var.name, "${var.name}.${var.namespace}.svc.cluster.local"],
        split(",", lookup(var.settings, "ALLOWED_HOSTS", "")),
      ))))
      AWS_STORAGE_BUCKET_NAME  = var.bucket.name
      AWS_DEFAULT_REGION       = var.bucket.region
      AWS_ENDPOINT_URL_S3      = var.bucket.endpoint_url
      AUDIT_PUBLIC_KEYS        = var.audit_public_keys
      BIND                     = "0.0.0.0:${local.port}"
      METRICS_BIND             = "0.0.0.0:${local.metrics_port}"
      GRACEFUL_TIMEOUT_SECONDS = tostring(local.graceful_seconds)
      CANARY_BASE_URL          = "http://${var.name}"
      # Read by libpq for sslmode=verify-full.
      PGSSLROOTCERT = var.database_ca_bundle == null ? null : "${local.database_ca_directory}/ca.pem"
    } : name => value if value != null },
  )

  database_ca_directory = "/etc/mirrorsite/database-ca"

  application_secret_name = coalesce(var.existing_secrets.application, "${var.name}-application")
  audit_secret_name       = coalesce(var.existing_secrets.audit, "${var.name}-audit-signing")
  pull_secret_names       = [for secret in kubernetes_secret_v1.registry : secret.metadata[0].name]
}

resource "kubernetes_config_map_v1" "this" {
  metadata {
    name      = "${var.name}-environment"
    namespace = var.namespace
    labels    = local.labels
  }

  data = local.environment
}

resource "kubernetes_config_map_v1" "database_ca" {
  count = var.database_ca_bundle == null ? 0 : 1

  metadata {
    name      = "${var.name}-database-ca"
    namespace = var.namespace
    labels    = local.labels
  }

  data = { "ca.pem" = var.database_ca_bundle }
}

resource "kubernetes_secret_v1" "application" {
  count = var.existing_secrets.application == null ? 1 : 0

  type             = "Opaque"
  data_wo_revision = var.secrets_revision
  data_wo = {
    for name, value in {
      SECRET_KEY            = var.secret_key
      DATABASE_URL          = var.database_url
      AWS_ACCESS_KEY_ID     = var.aws_access_key_id
      AWS_SECRET_ACCESS_KEY = var.aws_secret_access_key
    } : name => value if value != null
  }

  metadata {
    name      = local.application_secret_name
    namespace = var.namespace
    labels    = local.labels
  }
}

# Separate from the application's Secret, so that a compromised web pod cannot sign.
resource "kubernetes_secret_v1" "audit" {
  count = var.existing_secrets.audit == null ? 1 : 0

  type             = "Opaque"
  data_wo_revision = var.secrets_revision
  data_wo          = { AUDIT_SIGNING_KEY = var.audit_signing_key }

  metadata {
    name      = local.audit_secret_name
    namespace = var.namespace
    labels    = local.labels
  }
}

resource "kubernetes_secret_v1" "registry" {
  count = var.registry_server == null ? 0 : 1

  type             = "kubernetes.io/dockerconfigjson"
  data_wo_revision = var.secrets_revision
  data_wo = {
    ".dockerconfigjson" = jsonencode({
      auths = {
        (var.registry_server) = {
          username = var.registry_username
          password = var.registry_password
          auth     = base64encode("${var.registry_username}:${var.registry_password}")
        }
      }
    })
  }

  metadata {
    name      = "${var.name}-registry"
    namespace = var.namespace
    labels    = local.labels
  }
}

resource "kubernetes_service_account_v1" "this" {
  automount_service_account_token = false

  metadata {
    name      = var.name
    namespace = var.namespace
    labels    = local.labels
  }
}
