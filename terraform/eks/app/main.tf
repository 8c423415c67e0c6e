# The service on EKS, by the same modules as on Minikube: what differs is variables.

locals {
  name = "mirrorsite"
}

module "namespace" {
  source = "../../modules/k8s/namespace"

  name = var.namespace
  # A new pod is ready only when the load balancer's check has found it healthy;
  # otherwise a rollout would end the old ones before that.
  labels = { "eks.amazonaws.com/pod-readiness-gate-inject" = "enabled" }
}

# Auto Mode enforces network policies only when told so; without this they are text.
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
      # RDS keeps user and password; the address is no secret. urlquery, as passwords
      # hold characters that mean something in an address.
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

  # The operator reads nothing before it has its role.
  depends_on = [aws_eks_pod_identity_association.this]
}

locals {
  # RDS signs with authorities of its own, which no image knows.
  database_sslmode = var.database_ca_bundle == null ? "require" : "verify-full"

  application_secret_name = "${local.name}-application"
  audit_secret_name       = "${local.name}-audit-signing"
}

check "database_certificate" {
  assert {
    condition     = var.database_ca_bundle != null
    error_message = "database_ca_bundle is not given: connections to the database are encrypted, and whoever answers at its address is believed to be it. README.md says where AWS publishes the bundle."
  }
}

module "deployment" {
  source = "../../modules/k8s/deployment"

  namespace         = module.namespace.name
  name              = local.name
  service_name      = local.name
  image             = var.image
  resources         = var.resources
  cron_jobs         = var.cron_jobs
  metrics_namespace = var.metrics_namespace
  audit_public_keys = var.audit_public_keys
  bucket            = { name = local.data.bucket_name, region = var.region }
  # RDS has snapshots and point-in-time recovery.
  backups = { enabled = false }

  # TLS ends at the load balancer, which says so in X-Forwarded-Proto.
  settings = merge({ UPLOAD_AUTH = "token" }, var.settings, {
    ALLOWED_HOSTS        = var.host
    CSRF_TRUSTED_ORIGINS = "https://${var.host}"
    HTTPS_ONLY           = "true"
    TRUSTED_PROXIES      = "1"
  })

  autoscaling = merge(var.autoscaling, { enabled = true })
  # The load balancer needs a minute or more to take a new target in, and up to one to
  # send the last request to an old one. A third at once, or twelve pods would take as
  # many times that.
  rollout = { max_surge = "34%", drain_seconds = 60, minutes = 20 }
  # One pod in each zone is required here, and a lost node is given up soon.
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

  egress = [
    # S3 has no fixed addresses; the identity agent has one, on each node.
    { ports = [443], cidrs = ["0.0.0.0/0"] },
    { ports = [80], cidrs = ["169.254.170.23/32"] },
    { ports = [5432], cidrs = [local.network.cidr] },
  ]

  # Pods get their role at their start, and the Secrets must exist.
  depends_on = [module.external_secrets, aws_eks_pod_identity_association.this, kubernetes_config_map_v1.network_policies]
}

module "service" {
  source = "../../modules/k8s/service"

  name      = local.name
  namespace = module.namespace.name
  selector  = module.deployment.web_selector
  type      = "ClusterIP"
}

# The application load balancer of Auto Mode: it ends TLS, redirects port 80, and adds
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
          # The check comes with the pod's address as Host, which the service answers
          # with 400: either answer shows that it runs.
          success-codes = "200,400"
          # Requests under way at a pod that ends: preStop (drain_seconds) and gunicorn's
          # graceful shutdown.
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
