# Of what is not made too: a root chooses by its own variables.

output "postgres" {
  description = "Where the database is, without its password."
  value = {
    host       = "${local.names.postgres}.${var.namespace}.svc.cluster.local"
    port       = local.servers.postgres.port
    database   = var.postgres.database
    username   = var.postgres.username
    pod_labels = local.selectors.postgres
  }
}

output "object_store" {
  description = "Where the store is, without its keys."
  value = {
    endpoint_url = "http://${local.names.store}.${var.namespace}.svc.cluster.local:${local.servers.store.port}"
    port         = local.servers.store.port
    pod_labels   = local.selectors.store
  }
}
