output "postgres" {
  description = "Where the database is, without its password; null if there is none."
  value = var.postgres == null ? null : {
    host       = "${kubernetes_service_v1.postgres[0].metadata[0].name}.${var.namespace}.svc.cluster.local"
    port       = local.postgres_port
    database   = var.postgres.database
    username   = var.postgres.username
    pod_labels = local.postgres_selector
  }
  # Whoever uses it may connect: the pod is ready by then.
  depends_on = [kubernetes_stateful_set_v1.postgres]
}

output "object_store" {
  description = "Where the store is, without its keys; null if there is none."
  value = var.object_store == null ? null : {
    endpoint_url = "http://${kubernetes_service_v1.object_store[0].metadata[0].name}.${var.namespace}.svc.cluster.local:${local.object_store_port}"
    port         = local.object_store_port
    bucket_name  = var.object_store.bucket_name
    pod_labels   = local.object_store_selector
  }
  depends_on = [kubernetes_stateful_set_v1.object_store]
}
