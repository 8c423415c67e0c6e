# Also set for what is not enabled: the root chooses.

output "postgres" {
  description = "Address of the database, without its password."
  value = {
    host       = "${local.names.postgres}.${var.namespace}.svc.cluster.local"
    port       = local.servers.postgres.port
    database   = local.postgres_name
    username   = local.postgres_name
    pod_labels = local.selectors.postgres
  }
}

output "object_store" {
  description = "Address of the object store, without its keys."
  value = {
    endpoint_url = "http://${local.names.store}.${var.namespace}.svc.cluster.local:${local.servers.store.port}"
    port         = local.servers.store.port
    pod_labels   = local.selectors.store
  }
}
