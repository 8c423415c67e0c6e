# The service on EKS, by the same modules as on Minikube.

locals {
  name = "mirrorsite"
}

module "namespace" {
  source = "../../modules/k8s/namespace"

  name = var.namespace
  # A pod is ready only when the load balancer finds it healthy; otherwise a rollout
  # would terminate the old pods too early.
  labels = { "eks.amazonaws.com/pod-readiness-gate-inject" = "enabled" }
}

# Auto Mode does not enforce network policies without this.
resource "kubernetes_config_map_v1" "network_policies" {
  metadata {
    name      = "amazon-vpc-cni"
    namespace = "kube-system"
  }

  data = { "enable-network-policy-controller" = "true" }
}

module "external_secrets" {
  source = "../../modules/k8s/external_secrets"

  namespace              = module.namespace.name
  region                 = var.region
  chart_version          = var.external_secrets.chart_version
  refresh_interval       = var.external_secrets.refresh_interval
  reloader_chart_version = var.reloader_chart_version

  secrets = {
    (local.application_secret_name) = {
      from = {
        application = local.data.application_secret_arn
        database    = local.data.database.secret_arn
      }
      # RDS stores user and password; the address is not secret. urlquery escapes the
      # characters that have a meaning in a URL.
      template = {
        SECRET_KEY   = "{{ .SECRET_KEY }}"
        DATABASE_URL = "postgres://{{ .username | urlquery }}:{{ .password | urlquery }}@${local.data.database.host}:${local.data.database.port}/${local.data.database.name}?sslmode=${local.database_sslmode}"
      }
    }
    (local.audit_secret_name) = {
      from     = { audit = local.data.audit_secret_arn }
      template = { AUDIT_SIGNING_KEY = "{{ .AUDIT_SIGNING_KEY }}" }
    }
  }

  # Pods receive their role at start.
  depends_on = [aws_eks_pod_identity_association.this]
}

locals {
  # RDS certificates are signed by Amazon's own authorities, which no image contains.
  database_sslmode = var.database_ca_bundle == null ? "require" : "verify-full"

  application_secret_name = "${local.name}-application"
  audit_secret_name       = "${local.name}-audit-signing"
}

check "database_certificate" {
  assert {
    condition     = var.database_ca_bundle != null
    error_message = "database_ca_bundle is not set: connections to the database are encrypted, but its identity is not verified. docs/deploy-eks.md names the address of the bundle."
  }
}

module "deployment" {
  source = "../../modules/k8s/deployment"

  namespace         = module.namespace.name
  name              = local.name
  image             = var.image
  resources         = var.resources
  image_pull_policy = var.image_pull_policy
  cron_jobs         = var.cron_jobs
  purge_after_days  = var.purge_after_days
  metrics_namespace = var.metrics_namespace
  audit_public_keys = var.audit_public_keys
  bucket            = { name = local.data.bucket_name, region = var.region }
  # RDS has snapshots and point-in-time recovery.
  backups = { enabled = false }

  # TLS ends at the load balancer, which sets X-Forwarded-Proto.
  settings = merge({ UPLOAD_AUTH = "token" }, var.settings, {
    ALLOWED_HOSTS        = var.host
    CSRF_TRUSTED_ORIGINS = "https://${var.host}"
    HTTPS_ONLY           = "true"
    TRUSTED_PROXIES      = "1"
  })

  autoscaling = merge(var.autoscaling, { enabled = true })
  # The load balancer takes a minute or more to add a target, and up to a minute to stop
  # sending to one. A third at once: one by one, twelve pods would take twelve times that.
  rollout = { max_surge = "34%", drain_seconds = 60, minutes = 20 }
  # One pod in each zone is required, and pods of a lost node are replaced early.
  spread                       = { zones = "DoNotSchedule" }
  node_loss_toleration_seconds = 30
  annotations                  = { "secret.reloader.stakater.com/reload" = "${local.application_secret_name},${local.audit_secret_name}" }

  existing_secrets = {
    application = local.application_secret_name
    audit       = local.audit_secret_name
  }
  database_ca_bundle = var.database_ca_bundle

  secrets_revision  = var.secrets_revision
  registry_server   = var.registry_server
  registry_username = var.registry_username
  registry_password = var.registry_password

  egress = concat([
    # S3 has no fixed addresses; the Pod Identity agent has one, on each node.
    { ports = [443], cidrs = ["0.0.0.0/0"] },
    { ports = [80], cidrs = ["169.254.170.23/32"] },
    { ports = [5432], cidrs = [local.network.cidr] },
  ], var.egress)

  # Pods receive their role at start, and need the Secrets.
  depends_on = [module.external_secrets, aws_eks_pod_identity_association.this, kubernetes_config_map_v1.network_policies]
}

module "service" {
  source = "../../modules/k8s/service"

  name      = local.name
  namespace = module.namespace.name
  selector  = module.deployment.web_selector
  type      = "ClusterIP"
}

# The application load balancer of Auto Mode terminates TLS, redirects port 80, and adds
# X-Forwarded-For and X-Forwarded-Proto.
# https://docs.aws.amazon.com/eks/latest/userguide/auto-configure-alb.html
module "ingress" {
  source = "../../modules/k8s/manifests"

  name      = "${local.name}-ingress"
  namespace = module.namespace.name
  manifests = [
    {
      apiVersion = "eks.amazonaws.com/v1"
      kind       = "IngressClassParams"
      metadata   = { name = local.name }
      spec = {
        scheme          = var.load_balancer.internal ? "internal" : "internet-facing"
        certificateARNs = [var.load_balancer.certificate_arn]
      }
    },
    {
      apiVersion = "networking.k8s.io/v1"
      kind       = "IngressClass"
      metadata   = { name = local.name }
      spec = {
        controller = "eks.amazonaws.com/alb"
        parameters = { apiGroup = "eks.amazonaws.com", kind = "IngressClassParams", name = local.name }
      }
    },
    {
      apiVersion = "networking.k8s.io/v1"
      kind       = "Ingress"
      metadata = {
        name      = local.name
        namespace = module.namespace.name
        annotations = { for key, value in {
          target-type      = "ip"
          listen-ports     = jsonencode([{ HTTP = 80 }, { HTTPS = 443 }])
          ssl-redirect     = "443"
          inbound-cidrs    = length(var.load_balancer.source_ranges) == 0 ? null : join(",", var.load_balancer.source_ranges)
          healthcheck-path = "/api/health"
          # The health check sends the pod's address as Host, which the service answers
          # with 400: that shows too that it runs.
          success-codes = "200,400"
          # Covers preStop (drain_seconds) and gunicorn's graceful shutdown.
          target-group-attributes = "deregistration_delay.timeout_seconds=90"
        } : "alb.ingress.kubernetes.io/${key}" => value if value != null }
      }
      spec = {
        ingressClassName = local.name
        rules = [{
          host = var.host
          http = { paths = [{ path = "/", pathType = "Prefix", backend = { service = { name = module.service.name, port = { number = 80 } } } }] }
        }]
      }
    },
  ]
}
