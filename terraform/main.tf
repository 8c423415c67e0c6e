# The service on Minikube, or on any cluster where agent/ has created its namespace.

locals {
  name = "mirrorsite"

  cluster_store    = var.object_store == "cluster"
  cluster_database = var.database == "cluster"

  database_url = local.cluster_database ? format(
    "postgres://%s:%s@%s:%d/%s",
    module.data.postgres.username,
    urlencode(var.postgres_password),
    module.data.postgres.host,
    module.data.postgres.port,
    module.data.postgres.database,
  ) : var.database_url

  # Of an external store.
  store_port = try(tonumber(regex(":([0-9]+)$", var.s3_endpoint_url)[0]), startswith(coalesce(var.s3_endpoint_url, "https:"), "http:") ? 80 : 443)

  egress = concat(
    # S3 has no fixed addresses.
    local.cluster_store ? [] : [{ ports = [local.store_port], cidrs = ["0.0.0.0/0"], pod_labels = {} }],
    [for server in concat(local.cluster_store ? [module.data.object_store] : [], local.cluster_database ? [module.data.postgres] : []) :
    { ports = [server.port], cidrs = [], pod_labels = server.pod_labels }],
    [for rule in var.egress : { ports = rule.ports, cidrs = rule.cidrs, pod_labels = {} }],
  )
}

module "data" {
  source = "./modules/k8s/data"

  namespace          = var.namespace
  name               = local.name
  client_labels      = { "app.kubernetes.io/name" = local.name }
  storage_class_name = var.cluster_data.storage_class_name
  secrets_revision   = var.secrets_revision

  postgres          = { enabled = local.cluster_database, storage = var.cluster_data.postgres_storage }
  postgres_password = var.postgres_password

  object_store            = { enabled = local.cluster_store, bucket_name = var.bucket_name, storage = var.cluster_data.store_storage }
  object_store_access_key = local.cluster_store ? var.aws_access_key_id : null
  object_store_secret_key = local.cluster_store ? var.aws_secret_access_key : null
}

module "deployment" {
  source = "./modules/k8s/deployment"

  namespace         = var.namespace
  name              = local.name
  image             = var.image
  image_pull_policy = var.image_pull_policy
  replicas          = var.replicas
  autoscaling       = var.autoscaling
  cron_jobs         = var.cron_jobs
  # In AWS the bucket's lifecycle deletes old copies; the service may not.
  backups           = { enabled = var.backups, keep = local.cluster_store ? 14 : null }
  purge_after_days  = var.purge_after_days
  metrics_namespace = var.metrics_namespace
  egress            = local.egress
  settings          = var.settings
  audit_public_keys = var.audit_public_keys

  bucket = {
    name         = var.bucket_name
    region       = var.region
    endpoint_url = local.cluster_store ? module.data.object_store.endpoint_url : var.s3_endpoint_url
  }

  secrets_revision      = var.secrets_revision
  secret_key            = var.secret_key
  database_url          = local.database_url
  database_ca_bundle    = var.database_ca_bundle
  aws_access_key_id     = var.aws_access_key_id
  aws_secret_access_key = var.aws_secret_access_key
  audit_signing_key     = var.audit_signing_key
  registry_server       = var.registry_server
  registry_username     = var.registry_username
  registry_password     = var.registry_password

  # Migrations need the database.
  depends_on = [module.data]
}

module "service" {
  source = "./modules/k8s/service"

  name                    = local.name
  namespace               = var.namespace
  selector                = module.deployment.web_selector
  type                    = var.service.type
  annotations             = var.service.annotations
  load_balancer_class     = var.service.load_balancer_class
  source_ranges           = var.service.source_ranges
  external_traffic_policy = var.service.external_traffic_policy
}
