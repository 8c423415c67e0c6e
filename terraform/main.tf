locals {
  uses_aws   = var.object_store == "aws"
  uses_store = var.object_store == "cluster"

  # Of the labels of the web pods and jobs, the one all of them have.
  client_labels = { "app.kubernetes.io/name" = local.name }
  name          = "mirrorsite"

  bucket_name = local.uses_aws ? module.s3[0].bucket_name : var.bucket_name

  database_url = var.database == "cluster" ? format(
    "postgres://%s:%s@%s:%d/%s",
    module.data.postgres.username,
    urlencode(var.postgres_password),
    module.data.postgres.host,
    module.data.postgres.port,
    module.data.postgres.database,
  ) : var.database_url

  egress = concat(
    # S3 has no fixed addresses.
    local.uses_aws ? [{ ports = [443], cidrs = ["0.0.0.0/0"], pod_labels = {} }] : [],
    local.uses_store ? [{ ports = [module.data.object_store.port], cidrs = [], pod_labels = module.data.object_store.pod_labels }] : [],
    var.database == "cluster" ? [{ ports = [module.data.postgres.port], cidrs = [], pod_labels = module.data.postgres.pod_labels }] : [],
    [for rule in var.egress : { ports = rule.ports, cidrs = rule.cidrs, pod_labels = {} }],
  )
}

module "s3" {
  source = "./modules/s3"
  count  = local.uses_aws ? 1 : 0

  bucket_name                = var.bucket_name
  break_glass_principal_arns = var.bucket.break_glass_principal_arns
  kms_key_arn                = var.bucket.kms_key_arn
  force_destroy              = var.bucket.force_destroy
  object_lock = {
    enabled                = var.bucket.object_lock_enabled
    default_retention_days = var.bucket.default_retention_days
  }
}

module "namespace" {
  source = "./modules/k8s/namespace"

  name = var.namespace
}

module "data" {
  source = "./modules/k8s/data"

  namespace          = module.namespace.name
  name               = local.name
  client_labels      = local.client_labels
  storage_class_name = var.cluster_data.storage_class_name
  secrets_revision   = var.secrets_revision

  postgres          = var.database == "cluster" ? { storage = var.cluster_data.postgres_storage } : null
  postgres_password = var.postgres_password

  object_store            = local.uses_store ? { bucket_name = var.bucket_name, storage = var.cluster_data.store_storage } : null
  object_store_access_key = local.uses_store ? var.aws_access_key_id : null
  object_store_secret_key = local.uses_store ? var.aws_secret_access_key : null
}

module "deployment" {
  source = "./modules/k8s/deployment"

  namespace         = module.namespace.name
  name              = local.name
  service_name      = local.name
  image             = var.image
  image_pull_policy = var.image_pull_policy
  replicas          = var.replicas
  autoscaling       = var.autoscaling
  cron_jobs         = var.cron_jobs
  purge_after_days  = var.purge_after_days
  metrics_namespace = var.metrics_namespace
  egress            = local.egress

  settings = merge(var.settings, {
    bucket_name     = local.bucket_name
    region          = var.region
    s3_endpoint_url = local.uses_store ? module.data.object_store.endpoint_url : null
  })

  existing_secrets      = var.existing_secrets
  secrets_revision      = var.secrets_revision
  secret_key            = var.secret_key
  database_url          = var.existing_secrets.application == null ? local.database_url : null
  database_ca_bundle    = var.database_ca_bundle
  aws_access_key_id     = var.aws_access_key_id
  aws_secret_access_key = var.aws_secret_access_key
  audit_signing_key     = var.audit_signing_key
  registry_server       = var.registry_server
  registry_username     = var.registry_username
  registry_password     = var.registry_password

  # Migrations need the database to be there.
  depends_on = [module.data]
}

module "service" {
  source = "./modules/k8s/service"

  name                    = local.name
  namespace               = module.namespace.name
  selector                = module.deployment.web_selector
  type                    = var.service.type
  https_port              = var.service.https_port
  annotations             = var.service.annotations
  load_balancer_class     = var.service.load_balancer_class
  source_ranges           = var.service.source_ranges
  external_traffic_policy = var.service.external_traffic_policy
  wait_for_load_balancer  = var.service.wait_for_load_balancer
}
